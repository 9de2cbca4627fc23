"""Checks of vectors and their ids, which probe and search share."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence

import numpy as np

__all__ = ["check_finite", "name_some", "rows_of"]

_NAMED = 5  # ids that a message names


def rows_of(wanted: Collection[str], ids: Sequence[str]) -> np.ndarray:
    """Where each wanted id stands in `ids`: (len(wanted),) int64.

    Raises:
        ValueError: some are not there; the message says how many, names the first, and what is most like the first.
    """
    row = {name: i for i, name in enumerate(ids)}
    unknown = [name for name in wanted if name not in row]
    if unknown:
        similar = difflib.get_close_matches(unknown[0], ids, n=3, cutoff=0.6) or list(ids[:3])
        raise ValueError(
            f"{len(unknown)} of {len(wanted)} ids are not among the {len(ids)} of the store: {name_some(unknown)}; "
            f"ids of the store are such as {name_some(similar)}"
        )
    return np.array([row[name] for name in wanted], np.int64)


def check_finite(ids: Sequence[str], vectors: np.ndarray) -> None:
    """Refuse vectors, (N, D), that hold NaN or infinity.

    Raises:
        ValueError: some do; the message says how many and names the first.
    """
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {len(ids)} vectors hold NaN or infinity: {name_some([ids[i] for i in bad[:_NAMED]])}; "
            "extract them again (fp16 ends at 65504: in a store of fp32 or bf16 nothing overflows)"
        )


def name_some(names: Iterable[str]) -> str:
    """The first few, in quotes; dots where there are more."""
    listed = list(names)
    return ", ".join(repr(name) for name in listed[:_NAMED]) + (", …" if len(listed) > _NAMED else "")
