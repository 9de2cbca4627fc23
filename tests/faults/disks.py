"""Full disks: a run that needs more room than there is, then one that has it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from hiera_det.utils.files import is_temporary
from tests.faults.jobs import jobs
from tests.faults.material import Material
from tests.faults.small_disk import fill, mount_disk
from tests.faults.warm import Outcome, command, run
from tests.faults.whole import damaged, differences

__all__ = ["Full", "Writer", "fill_often", "writers"]

_LIMIT = 180.0  # seconds
_DISK = 512 << 20  # bytes
_FULL = re.compile(r"No space left|ENOSPC|disk is full|full disk|disk quota|no room", re.IGNORECASE)


@dataclass(frozen=True)
class Writer:
    """A command, or a call, that writes to ``out``.

    Attributes:
        name: of it.
        begin: what writes.
        go_on: what is done once there is room.
        before: what was done in ``out`` before, and has to stay whole; None: nothing.
        compared: whether the output is that of a run with room from the start.
    """

    name: str
    begin: Callable[[], None]
    go_on: Callable[[], None]
    before: Callable[[], None] | None = None
    compared: bool = True


@dataclass
class Full:
    """What came of one full disk.

    Attributes:
        writer: its name.
        free: bytes that there were.
        needed: bytes that it needs.
        told: what is wrong with what it said; empty: one line with path and cause.
        spoilt: what was there before and is no more, or is there and not whole.
        unlike: why it could not go on once there was room, or in what the result differs.
    """

    writer: str
    free: int
    needed: int
    told: list[str] = field(default_factory=list)
    spoilt: list[str] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = (("told", self.told), ("spoilt", self.spoilt), ("unlike", self.unlike))
        where = f"{self.writer}, {self.free} of {self.needed} bytes free"
        return "; ".join(f"{where}: {kind}: {', '.join(its[:3])}" for kind, its in kinds if its)


def writers(good: Material) -> list[Writer]:
    """All that write files."""
    found = []
    for job in jobs(good):
        if job.processes == 1 and "workers" not in job.name:
            before = None
            if job.again:
                before = command(tuple("2" if last == "SOLVER.MAX_ITER" else word for last, word in _pairs(job.words)))
            found.append(Writer(job.name, job.go_on if before else job.begin, job.go_on, before))
    tables = good.ava / "annotations"
    convert = ("convert", str(good.classifier))
    truth = ("--ground-truth", str(tables / "val.csv"), "--label-map", str(tables / "actions.pbtxt"))
    detections = good.made("detections.csv", lambda path: _detections(tables / "val.csv", path))
    once: dict[str, Sequence[str]] = {
        "conversion to .pth": (*convert, "out/x.pth", "--to", "original"),
        "conversion to .safetensors": (*convert, "out/x.safetensors", "--to", "timm"),
        "conversion to .pkl": (*convert, "out/x.pkl", "--to", "detectron2"),
        "conversion to a folder": ("convert", str(good.published), "out/x", "--to", "transformers"),
        "generated clips": (
            "ava-make-miniset",
            "--output",
            "out/ava",
            "--num-train",
            "1",
            "--num-val",
            "1",
            "--image-size",
            "64",
        ),
        "configs": ("configs", "--copy", "out/configs"),
        "pages": ("search", "--store", str(good.store), "--query", "a/0.png", "--output", "out/x.html", "out/x.png"),
        "probe": ("probe", "--store", str(good.store), "--labels", "folders", "--output", "out/probe"),
        "AVA's metrics": (
            "ava-evaluate",
            "--detections",
            str(detections),
            *truth,
            "--json",
            "out/x.json",
            "--plot",
            "out/x.png",
        ),
    }
    found += [Writer(name, command(words), command(words)) for name, words in once.items()]
    saved = Writer("save_pretrained", lambda: _save(good.detection_run), lambda: _save(good.detection_run))
    return [*found, saved]


def fill_often(writer: Writer, scratch: Path, shares: Sequence[float]) -> Iterator[Full]:
    """Run with room, then on disks with shares of what that needs.

    Raises:
        RuntimeError: it fails with room.
    """
    home = scratch / writer.name.replace(" ", "_").replace("'", "")
    shutil.rmtree(home, ignore_errors=True)
    reference = home / "reference"
    (reference / "out").mkdir(parents=True)
    before = 0
    for step in filter(None, (writer.before, writer.begin)):
        before = _size(reference / "out")
        outcome = run(step, reference, _LIMIT, watched=False)
        if outcome.code:
            raise RuntimeError(f"{writer.name} ended with {outcome.code} on a disk with room:\n{outcome.stderr}")
    needed = _size(reference / "out") - before
    for share in shares:
        folder = home / str(share)
        empty = Full(writer.name, int(share * needed), needed)
        work = partial(_on_disk, writer, empty, folder / "disk", reference / "out")
        outcome = run(work, folder, 3 * _LIMIT, watched=False)
        if outcome.code:
            raise RuntimeError(f"{writer.name}, {share}: {outcome.stderr}")
        yield Full(**json.loads(outcome.stdout))


def _on_disk(writer: Writer, result: Full, disk: Path, reference: Path) -> None:
    """In a process with a disk of its own: fill, write, look, make room, write again, look; print the result."""
    mount_disk(disk, _DISK)
    out = disk / "out"
    out.mkdir()
    if writer.before is not None:
        _run_at(writer.before, disk)
    earlier = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    filler = fill(disk, result.free)
    outcome = _run_at(writer.begin, disk)
    result.told += _wrong_words(outcome)
    result.spoilt += damaged(out)
    result.spoilt += [f"left: {path.relative_to(out)}" for path in out.rglob("*") if is_temporary(path.name)]
    result.spoilt += [f"changed: {path.relative_to(out)}" for path, data in earlier.items() if not _kept(path, data)]
    filler.unlink()
    outcome = _run_at(writer.go_on, disk)
    if outcome.code:
        result.unlike.append(f"with room it ended with {outcome.code}: {outcome.stderr.splitlines()[-1:]}")
    elif writer.compared:
        result.unlike += differences(out, reference)
    print(json.dumps(asdict(result)))


def _run_at(work: Callable[[], None], disk: Path) -> Outcome:
    """Run with ``out`` on the disk; what is printed goes elsewhere."""

    def there() -> None:
        os.chdir(disk)
        work()

    return run(there, disk.parent / "printed", _LIMIT, watched=False)


def _kept(path: Path, data: bytes) -> bool:
    """Whether a file is as it was; logs grow, and the pointer may name what was written since."""
    if path.name in ("last_checkpoint", "config.yaml", "run.lock"):
        return path.is_file()
    if path.name in ("log.txt", "metrics.json") or path.name.startswith("events.out"):
        return path.is_file() and path.read_bytes().startswith(data[: len(data) // 2])
    return "inference" in path.parts or (path.is_file() and path.read_bytes() == data)


def _wrong_words(outcome: Outcome) -> Iterator[str]:
    lines = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    if outcome.late:
        yield "it hangs"
    elif outcome.code == 0:
        yield "it ends with 0"
    elif outcome.code < 0:
        yield f"it ends by signal {-outcome.code}"
    elif "Traceback" in outcome.stderr:
        yield f"a traceback: {outcome.stderr.splitlines()[-1][:200]}"
    elif len(lines) != 1 or not _FULL.search(lines[0]) or "out" not in lines[0]:
        last = (lines or outcome.stderr.splitlines()[-1:] or ["nothing"])[0]
        yield f"not in one line with path and cause: {last[:200]}"


def _size(folder: Path) -> int:
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(("", *words), words, strict=False)


def _detections(truth: Path, path: Path) -> None:
    path.write_text("".join(f"{line.rpartition(',')[0]},0.9\n" for line in truth.read_text().splitlines()))


def _save(source: Path) -> None:
    import hiera_det
    from hiera_det.cli.errors import user_errors

    with user_errors():
        hiera_det.load(str(source), device="cpu").save_pretrained("out/saved")
