"""Contenders in turn, A B A B …, in one run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.cases import Case, Result
from benchmarks.contender import Contender
from benchmarks.flops import matrix_product
from benchmarks.process import ContenderProcess, DidNotRun
from benchmarks.profiles import profile_contender

__all__ = ["run_case"]

FAR = 0.1  # of the largest value: more than the rounding of bfloat16 makes


def run_case(
    contenders: Sequence[Contender],
    axes: dict[str, Any],
    *,
    device: str,
    threads: int,
    rounds: int,
    product_dtype: str | None = None,
    profile: Path | None = None,
) -> Case:
    """Build contenders, compare what they compute, and time them in turn; one that fails does not stop the others.

    Args:
        contenders: in the order of their turns.
        axes: the conditions, for the reader; contenders know theirs.
        device: "cpu" or "cuda".
        threads: of torch in each process.
        rounds: counted turns of each contender, after one step to warm up and one to see how long a step is.
        product_dtype: of the matrix products that MFU is relative to; None: no such products run.
        profile: a folder for traces of our contenders, which are profiled when the rounds are over.

    Raises:
        ValueError: no rounds.
    """
    if rounds < 1:
        raise ValueError(f"--rounds {rounds}: at least 1 is expected")
    case = Case(axes, [Result(contender) for contender in contenders])
    everyone = [*case.results]
    if product_dtype:
        case.product = Result(matrix_product(product_dtype, device))
        everyone.append(case.product)
    bar = tqdm(total=len(everyone) * (rounds + 1), desc=case.title, leave=False, disable=None)
    with closing(bar), ExitStack() as stack:
        processes: dict[int, ContenderProcess] = {}
        references: dict[str, list[np.ndarray]] = {}
        for i, result in enumerate(everyone):
            bar.set_postfix_str(f"{result.contender.name} starts")
            try:
                processes[i] = stack.enter_context(closing(ContenderProcess(result.contender, device, threads)))
                result.difference = _difference(processes[i].outputs, references, result.contender)
            except DidNotRun as error:
                result.error = str(error)
            bar.update()
        for _ in range(rounds):
            for i, result in enumerate(everyone):
                bar.set_postfix_str(result.contender.name)
                if not result.error:
                    _turn(processes[i], result)
                bar.update()
        for i, result in enumerate(everyone):
            if not result.error:
                _finish(processes[i], result)
        if case.product and case.product.error:
            case.product = None
    if profile:
        case.profiles = [profile_contender(own.contender, case.title, device, threads, profile) for own in case.ours]
    return case


def _turn(process: ContenderProcess, result: Result) -> None:
    try:
        result.seconds.append(process.turn())
    except DidNotRun as error:
        result.error = str(error)


def _finish(process: ContenderProcess, result: Result) -> None:
    try:
        vars(result).update(process.finish())
    except DidNotRun as error:
        result.error = str(error)


def _difference(
    outputs: list[np.ndarray], references: dict[str, list[np.ndarray]], contender: Contender
) -> float | None:
    """The largest difference from the first of the same function, relative to the output's largest value.

    Raises:
        DidNotRun: the outputs are of other sizes than those of the first, or far from them.
    """
    expected = references.setdefault(contender.function, outputs)
    if expected is outputs:
        return None
    if [len(a) for a in outputs] != [len(b) for b in expected]:
        raise DidNotRun("its outputs are not of the sizes that the first contender's of this function have")
    pairs = zip(outputs, expected, strict=True)
    found = float(np.max([abs(a - b).max() / abs(b).max() for a, b in pairs if len(b)], initial=0.0))
    if not found <= FAR:
        raise DidNotRun(f"its outputs differ by {found:.1e} of the largest from the first contender's of this function")
    return found
