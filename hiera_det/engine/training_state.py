"""The trainer's state in a checkpoint, which Lightning and torch take as it comes: its form is checked before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from hiera_det.utils.nested import shown

__all__ = ["check_training_state"]

_NUMBERS = 2**62  # of iterations and seeds
_VERSION = "pytorch-lightning_version"


def check_training_state(checkpoint: Mapping[str, Any], source: object) -> None:
    """Check that what a run is resumed from is of the form that a run writes.

    Args:
        checkpoint: what the file holds.
        source: the file, for messages.

    Raises:
        ValueError: an entry is missing or of another form; the message names it.
    """
    needed = {"model", "iteration", "seed", "loops", "optimizer_states", "lr_schedulers", "global_step", "epoch"}
    if missing := sorted(needed - set(checkpoint)):
        raise ValueError(
            f"{source} cannot be resumed from: it lacks {missing}. It holds weights only, or another program wrote it;"
            f" start anew from its weights with MODEL.WEIGHTS {source} and without --resume"
        )
    wrong = next((name for name, is_right in _FORMS.items() if not is_right(checkpoint.get(name))), None)
    if wrong is not None:
        raise ValueError(
            f"{source} cannot be resumed from: its entry {wrong!r} is {shown(checkpoint.get(wrong))}, not what a run"
            " writes: the file is damaged, or another program wrote it; take an earlier checkpoint"
        )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _NUMBERS


def _are_loops(value: Any) -> bool:
    fit = value.get("fit_loop") if isinstance(value, dict) else None
    return isinstance(fit, dict) and bool(fit) and all(isinstance(key, str) and _is_progress(fit[key]) for key in fit)


def _is_progress(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_progress(inner) for key, inner in value.items())
    return value is None or isinstance(value, int | float | str)


def _is_optimizer(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("state"), dict):
        return False
    groups, states = value.get("param_groups"), value["state"].values()
    return (
        isinstance(groups, list)
        and all(isinstance(group, dict) and _are_indices(group.get("params")) for group in groups)
        and all(isinstance(state, dict) and all(map(_is_number_or_tensor, state.values())) for state in states)
    )


def _are_indices(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_count, value))


def _is_number_or_tensor(value: Any) -> bool:
    return value is None or isinstance(value, int | float | Tensor)


def _is_scheduler(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_count(value.get("last_epoch"))
        and _is_count(value.get("_step_count"))
        and all(isinstance(value.get(name), list) for name in ("base_lrs", "_last_lr", "lr_lambdas"))
    )


def _are_callbacks(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(isinstance(its, dict) for its in value.values()))


_FORMS = {
    "iteration": _is_count,
    "seed": _is_count,
    "global_step": _is_count,
    "epoch": _is_count,
    _VERSION: lambda value: value is None or isinstance(value, str),
    "loops": _are_loops,
    "optimizer_states": lambda value: isinstance(value, list) and len(value) == 1 and _is_optimizer(value[0]),
    "lr_schedulers": lambda value: isinstance(value, list) and len(value) == 1 and _is_scheduler(value[0]),
    "callbacks": _are_callbacks,
    "failed": lambda value: value is None or (isinstance(value, dict) and all(isinstance(k, str) for k in value)),
}
