"""Everything that may go wrong, tried at length: hostile files, kills, full disks, the fuzzer of pickles.

    python -m tests.faults.soak
    python -m tests.faults.soak --parts kills --seeds 100
    python -m tests.faults.soak --only corpus/weights/info_bomb
    python -m tests.faults.soak --only kills/detection --first-seed 7 --seeds 1

It shows tables at its end, and ends with 1 if there was a fault. Folders of cases with a fault are kept.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tabulate import tabulate
from tqdm import tqdm

from tests.faults.corpus_runs import KINDS, cases_of, run_kind
from tests.faults.disks import fill_often, writers
from tests.faults.jobs import jobs
from tests.faults.kills import kill_often
from tests.faults.material import Material
from tests.faults.small_disk import reason_without
from tests.faults.warm import import_everything

__all__ = ["main"]

PARTS = ("corpus", "kills", "disks", "fuzz")
_SHARES = (0.0, 0.4, 0.9)  # of the room that a writer needs
_FUZZ = ("-m", "tests.faults.fuzz_pickles", "--seconds")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to try (all)")
    parser.add_argument(
        "--only", default="", metavar="NAME", help="begin of PART/KIND/CASE: a part of a part, or one case"
    )
    parser.add_argument("--seeds", type=int, default=32, metavar="N", help="killed runs of each task (32)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="seed of the first of them (0)")
    parser.add_argument("--seconds", type=int, default=600, metavar="N", help="of the fuzzer (600)")
    parser.add_argument("--folder", type=Path, help="where to work; default: a new temporary one")
    args = parser.parse_args(arguments)
    parts = [args.only.partition("/")[0]] if args.only else args.parts
    folder = args.folder or Path(mkdtemp(prefix="soak."))
    import_everything()
    good = Material(folder / "good")
    tried = {"corpus": _corpus, "kills": _kills, "disks": _disks, "fuzz": _fuzz}
    outcomes = [tried[part](good, folder / part, args) for part in parts]
    faults = [fault for _, found in outcomes for fault in found]
    print("\n\n".join(table for table, _ in outcomes))
    if faults:
        print(f"\n{len(faults)} faults; their folders are in {folder}:", *faults, sep="\n  ")
        raise SystemExit(1)


def _corpus(good: Material, scratch: Path, args: argparse.Namespace) -> tuple[str, list[str]]:
    rows, faults = [], []
    columns = {"signals": "signal", "tracebacks": "traceback", "hangs": "hang", "processes or sockets": "process"}
    columns |= {"over the bounds": "bounds", "files": "files", "words": "words"}
    for kind in KINDS:
        prefix = f"corpus/{kind}/"
        if not (prefix.startswith(args.only) or args.only.startswith(prefix)):
            continue

        def chosen(
            case: Any, begin: str = args.only.removeprefix(prefix) if len(args.only) > len(prefix) else ""
        ) -> bool:
            return case.name.startswith(begin)

        count = len(cases_of(kind, good, slow=True))
        results = list(
            tqdm(run_kind(kind, good, scratch, slow=True, chosen=chosen), desc=kind, total=count, unit="case")
        )
        rows.append([kind, len(results), *(sum(fault in its.faults for its in results) for fault in columns.values())])
        faults += [f"{its} (--only {prefix}{its.name})" for its in results if its.faults]
    rows.append(["together", *(sum(column) for column in list(zip(*rows, strict=True))[1:])])
    return tabulate(rows, ["kind", "tried", *columns]), faults


def _kills(good: Material, scratch: Path, args: argparse.Namespace) -> tuple[str, list[str]]:
    rows, faults = [], []
    for job in jobs(good):
        if f"kills/{job.name}".startswith(args.only):
            seeds = range(args.first_seed, args.first_seed + args.seeds)
            results = list(tqdm(kill_often(job, scratch, seeds), desc=job.name, total=args.seeds, unit="run"))
            kills, events = sum(its.kills for its in results), sum(its.at_events for its in results)
            corrupt, lost = (sum(bool(getattr(its, name)) for its in results) for name in ("corrupt", "lost"))
            equal = sum(not its.unlike for its in results)
            rows.append([job.name, kills, events, corrupt, lost, f"{equal} of {len(results)}"])
            faults += [
                f"{its} (--only 'kills/{job.name}' --first-seed {its.seed} --seeds 1)" for its in results if str(its)
            ]
    rows.append(["together", *(sum(column) for column in list(zip(*rows, strict=True))[1:5]), ""])
    return tabulate(rows, ["task", "kills", "at events", "corrupt", "lost", "resumed runs equal"]), faults


def _disks(good: Material, scratch: Path, args: argparse.Namespace) -> tuple[str, list[str]]:
    if reason := reason_without(scratch):
        return f"full disks: not tried, no small disk: {reason}", []
    rows, faults = [], []
    for writer in tqdm([its for its in writers(good) if f"disks/{its.name}".startswith(args.only)], unit="writer"):
        results = list(fill_often(writer, scratch, _SHARES))
        told, spoilt, unlike = (sum(not getattr(its, name) for its in results) for name in ("told", "spoilt", "unlike"))
        rows.append([writer.name, f"{results[0].needed / 1e6:.2f} MB", len(results), told, spoilt, unlike])
        faults += [f"{its} (--only 'disks/{writer.name}')" for its in results if str(its)]
    return tabulate(
        rows, ["writer", "needs", "sizes", "told by one line", "previous file whole", "goes on with room"]
    ), faults


def _fuzz(good: Material, scratch: Path, args: argparse.Namespace) -> tuple[str, list[str]]:
    run = subprocess.run([sys.executable, *_FUZZ, str(args.seconds)], check=False)
    return f"fuzzer of pickles, {args.seconds} s: ended with {run.returncode}", [
        "fuzz_pickles"
    ] if run.returncode else []


if __name__ == "__main__":
    main()
