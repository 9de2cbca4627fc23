"""Results of candidates under the same conditions, and the figures that follow from them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from benchmarks.candidate import Candidate

__all__ = ["Case", "Result", "as_json", "combinations", "paired_ratio"]


@dataclass
class Result:
    """The figures of one candidate in one case.

    Attributes:
        seconds: seconds of a step in each round, in order.
        items: images, clips or other pieces of work in a step.
        flops: floating-point operations of a step; 0: not counted.
        peak_mib: the largest memory beyond the model itself, in MiB: resident (CPU) or allocated (CUDA); None where
            the system does not tell.
        difference: the largest difference of an output from the first candidate with the same function, relative to the
            output's largest value; None for that first one.
        details: further figures by name.
        error: why it did not run to the end; then the other figures mean nothing.
    """

    candidate: Candidate
    seconds: list[float] = field(default_factory=list)
    items: int = 1
    flops: int = 0
    peak_mib: float | None = None
    difference: float | None = None
    details: dict[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def median(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.seconds)


@dataclass
class Case:
    """Candidates under the same conditions.

    Attributes:
        axes: the conditions by name, for example ``{"size": 224, "batch": 8}``; None for one that does not apply.
        results: one for each candidate, in order.
        product: the matrix product that was timed beside them, for MFU.
        profiles: tables of where the time of this package's candidates goes, if asked for.
    """

    axes: dict[str, Any]
    results: list[Result]
    product: Result | None = None
    profiles: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The conditions in words."""
        return ", ".join(f"{name} {value}" for name, value in self.axes.items() if value is not None)

    @property
    def complete(self) -> list[Result]:
        """The results without an error."""
        return [result for result in self.results if not result.error]

    @property
    def ours(self) -> list[Result]:
        """The results of this package without an error."""
        return [result for result in self.complete if result.candidate.ours]

    def mfu(self, result: Result) -> float | None:
        """Median over the rounds of a candidate's FLOP/s over the matrix product's; None if there are none."""
        if self.product is None or not result.flops:
            return None
        return result.flops / self.product.flops * paired_ratio(self.product, result)


def combinations(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield every choice of one value from each axis; the last axis changes fastest."""
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def paired_ratio(result: Result, other: Result) -> float:
    """Median over the rounds of one candidate's seconds over another's in the same round."""
    return statistics.median(a / b for a, b in zip(result.seconds, other.seconds, strict=True))


def as_json(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Return a flat dict for each candidate of each case, with its axes."""
    return [{**case.axes, **_figures(case, result)} for case in cases for result in case.results]


def _figures(case: Case, result: Result) -> dict[str, Any]:
    candidate = result.candidate
    names = {"candidate": candidate.name, "package": candidate.package, "function": candidate.function}
    if result.error:
        return {**names, "error": result.error}
    return {
        **names,
        "error": "",
        "seconds": result.seconds,
        "median_seconds": result.median,
        "items_per_second": result.items / result.median,
        "gflops": result.flops / 1e9,
        "mfu": case.mfu(result),
        "matrix_product_gflops_per_second": case.product and case.product.flops / case.product.median / 1e9,
        "peak_mib": result.peak_mib,
        "difference": result.difference,
        "time_over_ours": {own.candidate.name: paired_ratio(result, own) for own in case.ours if own is not result},
        "details": result.details,
    }
