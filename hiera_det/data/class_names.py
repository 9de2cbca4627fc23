"""Names and ids of classes, as files of any kind have them: checked before anything is drawn or written with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

__all__ = [
    "MAX_CLASSES",
    "check_category_ids",
    "check_class_names",
    "check_encodable",
    "check_same_classes",
    "distinct_names",
]

MAX_CLASSES = 10_000
MAX_LENGTH = 200  # characters of a name
_ID_LIMIT = 2**63  # ids are kept as 64-bit integers


def check_class_names(names: Any, source: str) -> list[str]:
    """Check that class names are a list of text that can be encoded, and of sensible size.

    Args:
        names: what was read.
        source: what it was read from, for the message.

    Raises:
        ValueError: it is something else; the message names the first entry that is wrong.
    """
    if not isinstance(names, list | tuple):
        raise ValueError(f"{source}: the class names are a {type(names).__name__}, expected a list of text")
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ValueError(f"{source}: {len(names)} class names, expected 1 to {MAX_CLASSES}")
    for index, name in enumerate(names):
        where = f"{source}: class name {index}"
        if not isinstance(name, str):
            raise ValueError(f"{where} is a {type(name).__name__}, expected text")
        if len(name) > MAX_LENGTH:
            raise ValueError(f"{where} has {len(name)} characters ({name[:20]!r}…), expected at most {MAX_LENGTH}")
        check_encodable(name, where)
    return list(names)


def check_encodable(text: str, where: str) -> None:
    """Check that text can be written and drawn: JSON and pickles may hold halves of characters (lone surrogates).

    Raises:
        ValueError: it cannot.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} is {text[:20]!r}, which is no valid text ({error.reason})") from error


def check_category_ids(ids: Any, names: Sequence[str], source: str) -> list[int]:
    """Check that there is an id for each class name, and that they differ.

    Raises:
        ValueError: they are something else.
    """
    if not isinstance(ids, list | tuple):
        raise ValueError(f"{source}: the category ids are a {type(ids).__name__}, expected a list of integers")
    for index, value in enumerate(ids):
        if type(value) is not int or abs(value) >= _ID_LIMIT:
            raise ValueError(f"{source}: category id {index} is a {type(value).__name__}, expected integers of 64 bits")
    if len(ids) != len(names) or len(set(ids)) != len(ids):
        raise ValueError(
            f"{source}: {len(ids)} category ids, {len(set(ids))} of them different, for {len(names)} class names;"
            " expected one for each"
        )
    return list(ids)


def distinct_names(names: Sequence[str], ids: Sequence[int]) -> list[str]:
    """Names that can be keys: those of several classes as ``name (id N)``, all others as they are.

    Args:
        names: of the classes.
        ids: of the classes, which differ.
    """
    distinct = list(names)
    while len(set(distinct)) < len(distinct):  # again where a class is named "x (id 1)" itself
        counts = Counter(distinct)
        distinct = [
            f"{name} (id {number})" if counts[name] > 1 else name for name, number in zip(distinct, ids, strict=True)
        ]
    return distinct


def check_same_classes(holder: str, names: Sequence[str] | None, data_names: Sequence[str], data: str) -> None:
    """Compare class names, in the order of their labels, with those of annotations; None: they are not known.

    Raises:
        ValueError: names differ or are in another order; the message lists the first of them.
    """
    pairs = enumerate(zip_longest(data_names if names is None else names, data_names), start=1)
    differences = [f"label {label}: {theirs!r} and {ours!r}" for label, (theirs, ours) in pairs if theirs != ours]
    if differences:
        raise ValueError(
            f"{holder} and {data} have different classes, by ascending category id:"
            f" {'; '.join(differences[:5])}{'; ...' if len(differences) > 5 else ''}. Name the dataset that belongs to"
            " it, or give the categories of the JSON the same ids and names"
        )
