"""Print cases as they finish, and write a JSON file and a plot."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from benchmarks.cases import Case, as_json
from benchmarks.plot import check_plot, write_plot
from benchmarks.table import format_table
from hiera_det.utils.files import make_folder, write_json

__all__ = ["report"]

LEGEND = (
    "/ NAME: time over NAME's in the same round, the median; above 1 NAME is faster",
    "MFU: FLOP/s over torch.mm's in the same round, the median",
)


def report(cases: Iterable[Case], device: str, json_file: Path | None, plot_file: Path | None) -> None:
    """Print each case when it is finished, and rewrite the JSON file with all cases so far.

    Args:
        cases: a generator that runs them.
        device: "cpu" or "cuda"; its name is printed.
        json_file: ``{"machine": text, "results": [...]}``, with the results of :func:`~.cases.as_json`.
        plot_file: drawn when all cases are finished.

    Raises:
        ValueError: there is no such device, matplotlib cannot draw the plot, or no candidate ran.
        OSError: a file cannot be written.
    """
    machine = _machine(device)
    if json_file:
        make_folder(json_file.parent, "the JSON file's folder")
    if plot_file:
        check_plot(plot_file)
    done: list[Case] = []
    for case in cases:
        if not done:
            print(machine, *LEGEND, sep="\n")
        done.append(case)
        print("\n".join(["", format_table(case), *case.profiles]), flush=True)
        if json_file:
            write_json(json_file, {"machine": machine, "results": as_json(done)}, indent=1)
    if plot_file:
        write_plot(plot_file, done)


def _machine(device: str) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no GPU here; --device cpu runs on the processor")
    kind = torch.cuda.get_device_name() if device == "cuda" else f"CPU with {torch.backends.cpu.get_cpu_capability()}"
    return f"{kind}, torch {torch.__version__}"
