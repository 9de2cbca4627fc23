"""What a benchmark measures: results of contenders that ran in turn under the same conditions, and their figures."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from benchmarks.contender import Contender

__all__ = ["Case", "Result", "as_json", "combinations", "paired_ratio"]


@dataclass
class Result:
    """One contender in one case.

    Attributes:
        seconds: of a step, one figure for each counted turn, in the order of the rounds.
        items: images, clips or other pieces of work in a step.
        flops: floating-point operations of a step; 0: none were counted.
        peak_mib: the most memory held beyond the model itself, in MiB: resident (CPU) or allocated (CUDA); None where
            the system does not tell.
        difference: largest difference of an output from the first contender of the same function, relative to the
            largest value of the output; None for that first one.
        notes: further figures by name.
        error: why it did not run, or not to the end; then there are no figures to read.
    """

    contender: Contender
    seconds: list[float] = field(default_factory=list)
    items: int = 1
    flops: int = 0
    peak_mib: float | None = None
    difference: float | None = None
    notes: dict[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def median(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.seconds)


@dataclass
class Case:
    """Contenders under the same conditions.

    Attributes:
        axes: the conditions by name, for example ``{"size": 224, "batch": 8}``; None for what does not apply.
        results: one for each contender, in order.
        product: the matrix product that ran in turn with them, where MFU makes sense.
        profiles: tables of where the time of our contenders goes, if asked for.
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
        """Those that ran."""
        return [result for result in self.results if not result.error]

    @property
    def ours(self) -> list[Result]:
        """Those of this package that ran."""
        return [result for result in self.complete if result.contender.ours]

    def mfu(self, result: Result) -> float | None:
        """Operations in a second over those of the matrix product in the same round: the median; None without."""
        if self.product is None or not result.flops:
            return None
        return result.flops / self.product.flops * paired_ratio(self.product, result)


def combinations(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every choice of one value from each axis, the last axis fastest."""
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def paired_ratio(result: Result, other: Result) -> float:
    """Median over the rounds of one contender's seconds over another's in the same round."""
    return statistics.median(a / b for a, b in zip(result.seconds, other.seconds, strict=True))


def as_json(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """A flat record for each contender of each case, with its axes."""
    return [{**case.axes, **_record(case, result)} for case in cases for result in case.results]


def _record(case: Case, result: Result) -> dict[str, Any]:
    contender = result.contender
    record: dict[str, Any] = {
        "contender": contender.name,
        "package": contender.package,
        "function": contender.function,
        "error": result.error,
    }
    if result.error:
        return record
    return record | {
        "seconds": result.seconds,
        "median_seconds": result.median,
        "items_per_second": result.items / result.median,
        "gflops": result.flops / 1e9,
        "mfu": case.mfu(result),
        "matrix_product_gflops_per_second": case.product and case.product.flops / case.product.median / 1e9,
        "peak_mib": result.peak_mib,
        "difference": result.difference,
        "time_over_ours": {own.contender.name: paired_ratio(result, own) for own in case.ours if own is not result},
        "notes": result.notes,
    }
