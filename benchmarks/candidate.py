"""A candidate: a name, and how to build the step that is timed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["DTYPES", "OURS", "Candidate", "Job", "check_names", "synchronize"]

OURS = "hiera_det"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Job:
    """What a candidate's process repeats.

    Attributes:
        step: does the work once; its outputs are compared with those of other candidates with the same function.
        items: images, clips or other pieces of work in a step.
        counted: the same step without torch.compile, to count its floating-point operations; None: not counted.
        details: gives further figures by name; called once, after all rounds.
    """

    step: Callable[[], Sequence[Tensor]]
    items: int = 1
    counted: Callable[[], object] | None = None
    details: Callable[[], dict[str, float]] = dict


@dataclass(frozen=True)
class Candidate:
    """One of the implementations that are compared.

    Attributes:
        name: as on the command line.
        package: the package that it comes from; `OURS` for this one.
        function: candidates with the same word here compute the same function with the same weights.
        build: makes the job in the candidate's own process; it must be picklable.
    """

    name: str
    package: str
    function: str
    build: Callable[[], Job]

    @property
    def ours(self) -> bool:
        """Whether it comes from this package."""
        return self.package == OURS


def check_names(option: str, names: Collection[str], known: Collection[str]) -> None:
    """Check that all names given to an option are known.

    Raises:
        ValueError: a name is unknown; the message lists the known ones.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{option} {','.join(unknown)}: expected some of {', '.join(known)}")


def synchronize(device: str) -> None:
    """Wait until a GPU has finished its work; on a CPU there is nothing to wait for."""
    if device == "cuda":
        torch.cuda.synchronize()
