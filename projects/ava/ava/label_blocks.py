"""Label maps in protobuf's text format, of which a block for each action is read."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from hiera_det.utils.problems import Problems

__all__ = ["read_blocks"]

_TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*|[;,])"""
    r"""|(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
    r"""|(?P<sign>[{}:])"""
    r"""|(?P<word>[^\s{}:;,"'\#]+)"""
    r"""|(?P<bad>.)""",
    re.VERBOSE,
)


@dataclass
class _Block:
    """A block as it is read."""

    line: int
    values: dict[str, str] = field(default_factory=dict)
    depth: int = 1


def read_blocks(text: str, problems: Problems) -> Iterator[tuple[int, int, str]]:
    """Give line, id and name of each block ``item { name: "…" id: … }``; what is no such block goes to ``problems``.

    Comments, other fields and nested blocks are left out.
    """
    block: _Block | None = None
    key = ""
    for line, kind, token in _tokens(text):
        if kind == "bad":
            problems.add(f"line {line}", "a quote without its end")
            return
        if token == "{" and kind == "sign":
            if block is None:
                block = _Block(line)
            else:
                block.depth += 1
            key = ""
        elif token == "}" and kind == "sign":
            if block is None:
                problems.add(f"line {line}", "a } without its {")
                return
            block.depth -= 1
            if not block.depth:
                yield from _entry(block, problems)
                block = None
            key = ""
        elif token == ":" and kind == "sign":
            continue
        elif block is None or block.depth > 1:
            if block is None and (key or kind == "text"):
                problems.add(f"line {line}", f"{token} stands outside of blocks")
                return
            key = token
        elif key:
            block.values[key] = _unquoted(token) if kind == "text" else token
            key = ""
        else:
            key = token
    if block is not None:
        problems.add(f"line {block.line}", "the block has no end, }")


def _tokens(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, kind and text of each token."""
    line, end = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", end, match.start())
        end = match.start()
        if match.lastgroup != "skip":
            yield line, str(match.lastgroup), match[0]


def _entry(block: _Block, problems: Problems) -> Iterator[tuple[int, int, str]]:
    name, number = block.values.get("name"), block.values.get("id", block.values.get("label_id"))
    if not name or number is None:
        problems.add(f"line {block.line}", "the block lacks its name or id")
    elif not re.fullmatch(r"[+-]?\d+", number):
        problems.add(f"line {block.line}", f"id {number} is no integer")
    else:
        yield block.line, int(number), name


def _unquoted(token: str) -> str:
    """What stands in quotes; writers of protobuf give other letters than ASCII as octal bytes."""
    content = token[1:-1]
    if "\\" not in content:
        return content
    return codecs.escape_decode(content.encode())[0].decode(errors="replace")
