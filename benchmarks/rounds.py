"""Run candidates alternately, A B A B …, in rounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.candidate import Candidate
from benchmarks.cases import Case, Result
from benchmarks.flops import matrix_product
from benchmarks.process import CandidateError, CandidateProcess
from hiera_det.utils.files import make_folder

__all__ = ["Settings", "run_case"]

MAX_DIFFERENCE = 0.1  # relative to the largest value: more than the rounding of bfloat16 makes


@dataclass(frozen=True)
class Settings:
    """How all cases of a benchmark run.

    Attributes:
        device: "cpu" or "cuda".
        rounds: timed runs of each candidate.
        profile: a folder for traces of this package's candidates; None: they are not profiled.

    Raises:
        ValueError: there are no rounds.
        OSError: the folder cannot be written to.
    """

    device: str = "cpu"
    rounds: int = 5
    profile: Path | None = None

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"--rounds {self.rounds}: expected at least 1")
        if self.profile:
            make_folder(self.profile, "--profile folder")


def run_case(candidates: Sequence[Candidate], axes: dict[str, Any], settings: Settings) -> Case:
    """Build the candidates, compare their outputs and time them; one that fails does not stop the others.

    Args:
        candidates: in the order of their runs.
        axes: the conditions. ``threads`` is the number of torch's threads in each process. If there is a ``dtype``,
            matrix products of that type are timed too, and MFU is relative to them. The rest is for the reader.
        settings: rounds, device and profile.
    """
    case = Case(axes, [Result(candidate) for candidate in candidates])
    results = [*case.results]
    if "dtype" in axes:
        case.product = Result(matrix_product(axes["dtype"], settings.device))
        results.append(case.product)
    processes: dict[int, CandidateProcess] = {}
    references: dict[str, list[np.ndarray]] = {}
    bar = tqdm(total=len(results) * (settings.rounds + 2), desc=case.title, leave=False, disable=None)
    with closing(bar), ExitStack() as stack:

        def start(i: int, result: Result) -> None:
            process = CandidateProcess(result.candidate, settings.device, axes["threads"])
            processes[i] = stack.enter_context(closing(process))
            result.difference = _difference(process.outputs, references, result.candidate.function)

        def for_each(action: Callable[[int, Result], object]) -> None:
            for i, result in enumerate(results):
                bar.set_postfix_str(result.candidate.name)
                try:
                    if not result.error:
                        action(i, result)
                except CandidateError as error:
                    result.error = str(error)
                bar.update()

        for_each(start)
        for _ in range(settings.rounds):
            for_each(lambda i, result: result.seconds.append(processes[i].run()))
        for_each(lambda i, result: vars(result).update(processes[i].finish()))
        if folder := settings.profile:
            case.profiles = [
                _profile(processes[i], f"{result.candidate.name}, {case.title}", folder)
                for i, result in enumerate(case.results)
                if result in case.ours
            ]
    if case.product and case.product.error:
        case.product = None
    return case


def _profile(process: CandidateProcess, title: str, folder: Path) -> str:
    """Return the table of a candidate's profile, or why there is none."""
    path = folder / f"{re.sub('[^a-zA-Z0-9+]+', '_', title)}.json"
    try:
        return f"{title}:\n{process.profile(path)}"
    except CandidateError as error:
        return f"{title}: not profiled, {error}"


def _difference(outputs: list[np.ndarray], references: dict[str, list[np.ndarray]], function: str) -> float | None:
    """The largest difference from the first outputs of the same function, relative to the output's largest value.

    Raises:
        CandidateError: the outputs have other sizes than those of the first, or are far from them.
    """
    expected = references.setdefault(function, outputs)
    if expected is outputs:
        return None
    if [len(a) for a in outputs] != [len(b) for b in expected]:
        raise CandidateError("its outputs have other sizes than those of the first candidate with this function")
    pairs = zip(outputs, expected, strict=True)
    found = float(np.max([abs(a - b).max() / abs(b).max() for a, b in pairs if len(b)], initial=0.0))
    if not found <= MAX_DIFFERENCE:
        raise CandidateError(
            f"its outputs differ by {found:.1e} of the largest value from the first candidate's with this function"
        )
    return found
