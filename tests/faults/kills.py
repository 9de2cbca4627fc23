"""Kills runs, at random and at file-system events, goes on with them, and compares with a run that was never killed."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.events import Counter
from tests.faults.jobs import Job
from tests.faults.warm import Child, Outcome, run, start
from tests.faults.whole import damaged, differences

__all__ = ["Killed", "kill_often"]

_LIMIT = 180.0  # seconds that a run may take
_AGAIN = 0.3  # of the runs that go on are killed once more


@dataclass
class Killed:
    """What came of one run that was killed.

    Attributes:
        job: name of the task.
        seed: with which the same kill comes again.
        kills: how many there were.
        at_events: so many of them at file-system events.
        corrupt: files that were not whole behind a kill.
        lost: why the run could not go on.
        unlike: in what the run that went on differs from the one that was never killed.
    """

    job: str
    seed: int
    kills: int = 0
    at_events: int = 0
    corrupt: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = (("corrupt", self.corrupt), ("lost", self.lost), ("unlike", self.unlike))
        return "; ".join(f"{self.job}, seed {self.seed}: {kind}: {', '.join(its[:3])}" for kind, its in kinds if its)


@dataclass(frozen=True)
class Reference:
    """The run that was never killed: its output, how long it took, how many file-system events it had."""

    folder: Path
    seconds: float
    events: int


def kill_often(job: Job, scratch: Path, seeds: range) -> Iterator[Killed]:
    """Run once without a kill, then once for each seed with kills.

    Even seeds kill at file-system events, odd ones at random times.

    Raises:
        RuntimeError: the run fails without a kill.
    """
    home = scratch / job.name.replace(" ", "_").replace(",", "")
    shutil.rmtree(home, ignore_errors=True)
    reference = _undisturbed(job, home / "reference")
    for seed in seeds:
        folder = home / str(seed)
        result = _kill(job, folder, reference, seed)
        if not str(result):
            shutil.rmtree(folder)
        yield result


def _undisturbed(job: Job, folder: Path) -> Reference:
    counter = Counter(folder)
    outcome = run(job.begin, folder, _LIMIT, before=counter.install, watched=False)
    if outcome.code:
        raise RuntimeError(f"{job.name} ended with {outcome.code} without a kill:\n{outcome.stderr}")
    return Reference(folder / "out", outcome.seconds, counter.count)


def _kill(job: Job, folder: Path, reference: Reference, seed: int) -> Killed:
    draw = random.Random(f"{job.name} {seed}")
    result = Killed(job.name, seed)
    work, going_on = job.begin, False
    for attempt in range(3):
        last_attempt = attempt == 2 or (going_on and draw.random() > _AGAIN)
        counter = Counter(folder)
        if not last_attempt and seed % 2 == 0:
            counter.last = draw.randint(1, reference.events)
        child = start(work, folder, before=counter.install, watched=False)
        if not last_attempt and seed % 2:
            _end_after(child, draw.uniform(0, reference.seconds))
        outcome = child.wait(_LIMIT)
        if outcome.code == -9 and not outcome.late:
            result.kills += 1
            result.at_events += counter.last > 0
            result.corrupt += _in_fork(folder, "damaged", reference)
            work, going_on = job.go_on, True
            continue
        unlike = _in_fork(folder, "differences", reference)
        if outcome.code and unlike:
            result.lost.append(_told(outcome))
        result.unlike += unlike
        break
    return result


def _end_after(child: Child, seconds: float) -> None:
    """Kill the group in the middle of what it does, unless it ends before."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until and child.runs():
        time.sleep(0.002)
    child.kill()


def _in_fork(folder: Path, what: str, reference: Reference) -> list[str]:
    """What :mod:`tests.faults.whole` finds; torch works in a fork, as its threads would not live on in others."""

    def work() -> None:
        found = damaged(folder / "out") if what == "damaged" else differences(folder / "out", reference.folder)
        print(json.dumps(found))

    outcome = run(work, folder.with_name(f"{folder.name}_looked_at"), _LIMIT, watched=False)
    shutil.rmtree(folder.with_name(f"{folder.name}_looked_at"))
    return json.loads(outcome.stdout) if outcome.code == 0 else [f"cannot be looked at: {_told(outcome)}"]


def _told(outcome: Outcome) -> str:
    lines = [line for line in outcome.stderr.splitlines() if line.strip()]
    late = f"still ran after {outcome.seconds:.0f} s; " if outcome.late else ""
    return f"{late}ended with {outcome.code}: {lines[-1][:300] if lines else 'nothing'}"
