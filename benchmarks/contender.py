"""What contends: a name, and how to build the step that is timed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["DTYPES", "OURS", "Contender", "Job", "check_names"]

OURS = "hiera_det"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Job:
    """What a contender's process repeats.

    Attributes:
        run: one step; what it returns is compared with what the other contenders of the function return.
        items: images, clips or other pieces of work in a step.
        counted: the same step without torch.compile, to count its floating-point operations; None: there are none.
        notes: further figures by name, asked for when all rounds are over.
    """

    run: Callable[[], Sequence[Tensor]]
    items: int = 1
    counted: Callable[[], object] | None = None
    notes: Callable[[], dict[str, float]] = dict


@dataclass(frozen=True)
class Contender:
    """One of those that are compared.

    Attributes:
        name: as on the command line.
        package: where it comes from; `OURS` for this one.
        function: contenders with the same word here compute the same of the same weights.
        build: makes the job in the contender's own process; a function of a module, as it is pickled.
    """

    name: str
    package: str
    function: str
    build: Callable[[], Job]

    @property
    def ours(self) -> bool:
        """Whether it is of this package."""
        return self.package == OURS


def check_names(flag: str, names: Collection[str], known: Collection[str]) -> None:
    """See that all names are known.

    Raises:
        ValueError: one is not; the message lists those there are.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{flag} {','.join(unknown)}: no such contender here; there are {', '.join(known)}")
