"""Runs the hostile corpus: each case in a process of its own, judged beside the good file of its kind."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from tests.faults.case import SECONDS, Case, faults_of
from tests.faults.corpus.ports import connections
from tests.faults.material import Material
from tests.faults.warm import Outcome, command, run

__all__ = ["KINDS", "Result", "bounded_share", "cases_of", "run_kind"]

KINDS = (
    "weights",
    "checkpoints",
    "safetensors_files",
    "pickles",
    "configs",
    "annotations",
    "images",
    "videos",
    "tars",
    "stores",
    "tables",
    "ava_tables",
    "runs",
    "names",
)
_ONCE = re.compile(  # cases that the package once did not withstand
    r"(weights|checkpoints|configs|pickles)/.*(_bomb|laughs|cycle|itself|expanded|shared_dtype)$|annotations/check_(power|deep)$"
    r"|annotations/(check_class_surrogate|train_polygon_large)|images/.*_eps$|videos/.*_(hls|concat)$|tars/pattern_(long|product)$"
    r"|stores/.*items_0$|tables/.*0_long$|runs/.*(above|empty|log.txt_fifo)$|names/.*_(formula|html|escape)$|_fifo$"
)
_LIMIT = 60.0  # seconds for a good case


@dataclass(frozen=True)
class Result:
    """What came of a case: its faults by kind, none where all is well."""

    kind: str
    name: str
    faults: dict[str, str]
    outcome: Outcome

    def __str__(self) -> str:
        return "; ".join(f"{self.kind}/{self.name}: {fault}: {what}" for fault, what in self.faults.items())


def cases_of(kind: str, good: Material, *, slow: bool) -> list[Case]:
    """All cases of a kind in their order, without the slow ones if so wanted."""
    found = [case for case in import_module(f"tests.faults.corpus.{kind}").cases(good) if slow or not case.slow]
    names = [case.name for case in found]
    assert len(set(names)) == len(names), f"{kind}: {sorted({name for name in names if names.count(name) > 1})}"
    return found


def bounded_share(kind: str, good: Material, most: int) -> Callable[[Case], bool]:
    """What `make test` runs of a kind: the cases that once were faults, and some of the others at even distances."""
    names = [case.name for case in cases_of(kind, good, slow=False)]
    once = [name for name in names if _ONCE.search(f"{kind}/{name}")]
    chosen = {*names[:: -(-len(names) // most)], *once[:: -(-len(once) // most)]}
    return lambda case: case.name in chosen


def run_kind(
    kind: str,
    good: Material,
    scratch: Path,
    *,
    slow: bool,
    chosen: Callable[[Case], bool] = lambda case: True,
) -> Iterator[Result]:
    """Run the cases of a kind, each beside its good one.

    Args:
        kind: one of :data:`KINDS`.
        good: what cases are made of.
        scratch: folder for the cases; of those without a fault nothing is kept.
        slow: the slow ones too.
        chosen: which to run.
    """
    found = cases_of(kind, good, slow=slow)
    by_name = {case.name: case for case in found}
    bases: dict[str, Outcome] = {}
    last_good = ""
    for case in found:
        last_good = case.name if case.good else last_good
        if not chosen(case) or case.name in bases:
            continue
        reference = case.like or last_good
        if reference not in bases:
            result = _run_case(kind, by_name[reference], None, scratch)
            bases[reference] = result.outcome
            yield result
        if not case.good:
            yield _run_case(kind, case, bases[reference], scratch)


def _run_case(kind: str, case: Case, base: Outcome | None, scratch: Path) -> Result:
    folder = scratch / kind / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    case.write(folder)
    words = [word.replace("{folder}", str(folder)) for word in case.words]
    outcome = run(command(words), folder, base.seconds + SECONDS if base else _LIMIT)
    faults = faults_of(case, outcome, base or outcome, folder, connections())
    if not faults:
        shutil.rmtree(folder)
    return Result(kind, case.name, faults, outcome)
