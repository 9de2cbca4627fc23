"""What a checkpoint may hold: numbers that a run can go on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

__all__ = ["ADVICE", "check_finite"]

# A resumed run repeats the same numbers.
ADVICE = (
    "--resume alone would end here again: give it a lower SOLVER.BASE_LR or SOLVER.CLIP_GRADIENTS.ENABLED True on the"
    " command line, which then hold from the last checkpoint on"
)


def check_finite(values: Any, iteration: int) -> None:
    """See that the weights and the optimizer's state that are to be saved are finite.

    Args:
        values: tensors in nested dicts and lists.
        iteration: after which they are.

    Raises:
        FloatingPointError: some are not; the message names them.
    """
    wrong = [name for name, value in _tensors(values) if not value.isfinite().all()]
    if wrong:
        raise FloatingPointError(
            f"after iteration {iteration}, {len(wrong)} tensors are not finite, such as {', '.join(wrong[:3])}: no"
            f" checkpoint of it is written. {ADVICE}"
        )


def _tensors(values: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(values, Tensor):
        yield name, values
    elif isinstance(values, Mapping | list | tuple):
        for key, value in values.items() if isinstance(values, Mapping) else enumerate(values):
            yield from _tensors(value, f"{name}.{key}" if name else str(key))
