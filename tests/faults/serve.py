"""A warm process that tests ask for parts of the harness: a line of JSON in, a line of JSON out.

pytest's own process has threads, from which no fork may come.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.faults.corpus_runs import bounded_share, run_kind
from tests.faults.disks import fill_often, writers
from tests.faults.jobs import jobs
from tests.faults.kills import kill_often
from tests.faults.material import Material
from tests.faults.small_disk import reason_without
from tests.faults.warm import import_everything

__all__: list[str] = []


def _answer(question: dict[str, Any], good: Material, scratch: Path) -> dict[str, Any]:
    part, name = question["part"], question["name"]
    found: Iterable[Any]
    if part == "corpus":
        chosen = bounded_share(name, good, question["most"])
        results = list(run_kind(name, good, scratch, slow=False, chosen=chosen))
        return {"tried": len(results), "faults": [str(result) for result in results if result.faults]}
    if part == "kills":
        job = next(job for job in jobs(good) if job.name == name)
        killed = list(kill_often(job, scratch, range(*question["seeds"])))
        return {"tried": sum(its.kills for its in killed), "faults": [str(its) for its in killed if str(its)]}
    if reason := reason_without(scratch):
        return {"skip": f"no small disk: {reason}"}
    writer = next(writer for writer in writers(good) if writer.name == name)
    found = list(fill_often(writer, scratch, question["shares"]))
    return {"tried": len(found), "faults": [str(full) for full in found if str(full)]}


def main() -> None:
    """Answer until the input ends."""
    import_everything()
    with tempfile.TemporaryDirectory() as folder:
        good, scratch = Material(Path(folder) / "good"), Path(folder) / "scratch"
        scratch.mkdir()
        for line in sys.stdin:
            print(json.dumps(_answer(json.loads(line), good, scratch)), flush=True)


if __name__ == "__main__":
    main()
