"""One hostile or damaged input, and what came of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hiera_det.utils.files import is_temporary
from tests.faults.warm import Outcome

__all__ = ["Case", "Write", "copy", "faults_of", "put"]

Write = Callable[[Path], object]

SECONDS = 10.0  # more than the good file of the kind takes
MEMORY = 1024.0  # MiB, the same


@dataclass(frozen=True)
class Case:
    """A command and the files that it reads.

    Attributes:
        name: of the case, once in its kind.
        words: of the command line; paths are relative to the case's folder, or begin with "{folder}".
        write: writes the input to the folder.
        good: the input is sound: the base of the others' time and memory; it must end with 0.
        refused: it must not end with 0.
        like: the good case that it is compared with; "": the one before it.
        slow: not tried in `make test`.
        check: further faults, by what is in the folder at the end.
    """

    name: str
    words: tuple[str, ...]
    write: Write
    good: bool = False
    refused: bool = False
    like: str = ""
    slow: bool = False
    check: Callable[[Path], list[str]] | None = None


def put(name: str, content: bytes | str) -> Write:
    """What writes a file."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content

    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return write


def copy(source: Path, name: str) -> Write:
    """What copies a file, or a folder of few files."""

    def write(folder: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)

    return write


def faults_of(case: Case, outcome: Outcome, base: Outcome, folder: Path, connections: int) -> dict[str, str]:
    """What is wrong with how a case ended.

    Args:
        case: the case.
        outcome: its end.
        base: that of the good case.
        folder: of the case.
        connections: that came to the port that hostile files name.

    Returns:
        What was seen, by kind of fault: signal, traceback, hang, process (or socket, or code), bounds, files, words.
    """
    found: dict[str, str] = {}
    if outcome.late:
        found["hang"] = f"killed after {outcome.seconds:.1f} s, the good one takes {base.seconds:.1f} s"
    elif outcome.code < 0:
        found["signal"] = f"ended by signal {-outcome.code}"
    elif outcome.seconds > base.seconds + SECONDS:
        found["bounds"] = f"took {outcome.seconds:.1f} s, the good one {base.seconds:.1f} s"
    if outcome.peak > base.peak + MEMORY:
        found["bounds"] = f"took {outcome.peak:.0f} MiB, the good one {base.peak:.0f} MiB"
    acts = [act for act in outcome.acts if act not in base.acts]
    acts += [f"{connections} connections to the listening port"] if connections else []
    elsewhere = [act for act in acts if act.startswith(("writes ", "changes "))]
    if ran := [act for act in acts if act not in elsewhere]:
        found["process"] = "; ".join(ran[:3])
    if elsewhere:
        found["files"] = f"outside of its folder: {'; '.join(elsewhere[:3])}"
    if (folder / "called").exists():
        found["process"] = "what the file names was called"
    if outcome.left:
        found["process"] = f"{outcome.left} processes outlive it"
    if not outcome.late and (
        half := [str(path.relative_to(folder)) for path in folder.rglob("*") if is_temporary(path.name)]
    ):
        found["files"] = f"left half-written: {', '.join(half[:3])}"
    if "Traceback (most recent call last)" in outcome.stderr:
        found["traceback"] = _last_line(outcome.stderr)
    elif not found:
        for problem in _wording(case, outcome):
            found["words"] = problem
    if case.check is not None and not found and (problems := case.check(folder)):
        found["files"] = "; ".join(problems[:3])
    return found


def _wording(case: Case, outcome: Outcome) -> Iterator[str]:
    errors = [line for line in outcome.stderr.splitlines() if re.match(r"(hiera-det[\w -]*: )?error: ", line)]
    if case.good and outcome.code:
        yield f"the good case ended with {outcome.code}: {_last_line(outcome.stderr)}"
    elif case.refused and not outcome.code:
        yield f"taken without a word: {_last_line(outcome.stdout)}"
    elif outcome.code not in (0, 1, 2):
        yield f"ended with {outcome.code}: {_last_line(outcome.stderr)}"
    elif outcome.code == 2 and len(errors) != 1:
        yield f"ended with 2 and {len(errors)} lines `error: ...`: {_last_line(outcome.stderr)}"
    elif re.search(r"[\x00-\x08\x0b-\x1f\x7f]", outcome.stderr.replace("\r", "")):
        yield "control characters of the input on the terminal"


def _last_line(text: str) -> str:
    return next((line.strip()[:300] for line in reversed(text.splitlines()) if line.strip()), "nothing")
