"""Names and layout of a store's files, and the text files among them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "FAILED",
    "HEADER",
    "HEADER_SUMS",
    "MAPS",
    "SUMS",
    "TABLE",
    "Failure",
    "Header",
    "all_failures",
    "done_parts",
    "failures_text",
    "read_failures",
    "read_header",
    "read_sums",
    "shard_name",
    "sums_text",
]

FORMAT = 1
HEADER = "store.json"
HEADER_SUMS = "store.sha256"
FAILED = "failed.csv"  # of the whole store, and behind a dot the ending of a shard's
MAPS = "safetensors"
TABLE = "parquet"
SUMS = "sha256"  # it makes the shard exist


class Failure(NamedTuple):
    """An item that could not be read."""

    id: str
    path: str
    reason: str


@dataclass(frozen=True)
class Header:
    """What ``store.json`` says.

    Args:
        spec: what the features were made with.
        items: of the whole store, with those that fail.
        items_per_shard: of every shard but the last, which may hold fewer.
        plan: digest of the items in their order.
    """

    spec: Mapping[str, Any]
    items: int
    items_per_shard: int
    plan: str

    @property
    def shards(self) -> int:
        """How many shards the finished store has."""
        return -(-self.items // self.items_per_shard)

    def items_of(self, index: int) -> int:
        """How many items a shard stands for, with those that fail."""
        return min(self.items_per_shard, self.items - index * self.items_per_shard)

    @property
    def text(self) -> str:
        """What the file holds."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, sort_keys=True, allow_nan=False) + "\n"


def read_header(root: str | Path) -> Header:
    """Read a store's ``store.json``.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or of another format.
    """
    path = Path(root) / HEADER
    if not path.is_file():
        raise FileNotFoundError(f"{root} is no store of features: it has no {HEADER}; give the folder of an extraction")
    try:
        fields = json.loads(path.read_bytes())
        version = fields.pop("format")
        if version != FORMAT:
            raise ValueError(f"it is of format {version}, and this version of hiera_det reads format {FORMAT}")
        header = Header(**fields)
        if header.items_per_shard < 1:
            raise ValueError(f"items_per_shard is {header.items_per_shard}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); put back a copy of it, or extract anew") from error
    return header


def shard_name(index: int, ending: str) -> str:
    """Name of one of a shard's files, by its ending without the dot."""
    return f"{index:05d}.{ending}"


def done_parts(root: str | Path) -> set[int]:
    """The parts of the plan whose shards are there."""
    names = (re.fullmatch(rf"(\d{{5,}})\.{SUMS}", path.name) for path in Path(root).iterdir())
    return {int(name[1]) for name in names if name and name[0] == shard_name(int(name[1]), SUMS)}


def sums_text(sums: Mapping[str, str]) -> str:
    """Checksums by name of file, as ``sha256sum -c`` reads them."""
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items())


def read_sums(path: Path) -> dict[str, str]:
    """Checksums by name of file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else.
    """
    text = path.read_bytes().decode("latin-1")
    sums = {name: digest for digest, name in re.findall(r"([0-9a-f]{64})  ([\w.]+)\n", text, re.ASCII)}
    if not sums or sums_text(sums) != text:
        raise ValueError(f"{path} is damaged: it does not hold lines as sha256sum writes them")
    return sums


def failures_text(failures: Iterable[Failure]) -> str:
    """Failures as CSV, with the fields' names as header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Failure._fields)
    writer.writerows(failures)
    return text.getvalue()


def read_failures(path: Path) -> list[Failure]:
    """Read what `failures_text` wrote.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else.
    """
    with path.open(newline="", encoding="utf-8") as file:
        try:
            header, *rows = csv.reader(file)
            if tuple(header) != Failure._fields:
                raise ValueError(f"its header is {','.join(header)}")
            return [Failure(*row) for row in rows]
        except (ValueError, TypeError, csv.Error) as error:
            raise ValueError(f"{path} is damaged: {error}") from error


def all_failures(root: str | Path) -> Iterator[Failure]:
    """The items of the finished shards that could not be read, in their order.

    Raises:
        ValueError: a shard's list of them is damaged.
    """
    for index in sorted(done_parts(root)):
        path = Path(root) / shard_name(index, FAILED)
        if path.exists():
            yield from read_failures(path)
