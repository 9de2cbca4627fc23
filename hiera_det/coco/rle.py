"""COCO's run-length encoded masks, checked before any C code sees them: pycocotools trusts what it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from hiera_det.coco.values import FieldError, Values, shown

__all__ = ["read_rle"]

_FIRST, _LAST = 48, 111  # characters of compressed counts: six bits each, from "0" on
_GROUPS = 6  # characters of one count at most: pycocotools shifts within 32 bits


def read_rle(value: dict[str, Any], height: int, width: int, values: Values) -> dict[str, Any]:
    """Read the RLE mask of an annotation.

    Args:
        value: with ``size``, (height, width), and ``counts``: the lengths of runs, 0 and 1 by turns and columns first,
            as a list or in pycocotools' compressed text.
        height: of the image, in pixels.
        width: likewise.
        values: counts what is odd.

    Returns:
        The mask as a compressed RLE.

    Raises:
        FieldError: the size is another than the image's, or the counts are none, or do not add up to height x width.
    """
    if not value.keys() & {"counts", "size"}:
        raise FieldError(f"field 'segmentation' is {shown(value)}, expected polygons or an RLE mask")
    size = value.get("size")
    if not isinstance(size, list) or len(size) != 2:
        raise FieldError(f"RLE 'size' is {shown(size)}, expected the image's {[height, width]}")
    read = [values.integer({"RLE 'size'": side}, "RLE 'size'") for side in size]
    if read != [height, width]:
        hint = "; it has the width first" if read == [width, height] else ""
        raise FieldError(f"RLE 'size' is {read}, expected the image's {[height, width]}{hint}")
    counts = value.get("counts")
    if isinstance(counts, str):
        _check_sum(_runs(counts), height, width, _hint(counts))
        return {"size": [height, width], "counts": counts}
    if not isinstance(counts, list):
        raise FieldError(f"RLE 'counts' is a {type(counts).__name__}, expected a string or a list of counts")
    wrong = next((count for count in counts if type(count) is not int or not 0 <= count <= height * width), None)
    if wrong is not None:
        raise FieldError(f"RLE 'counts' has {shown(wrong)}, expected integers from 0 to height x width")
    _check_sum(np.array(counts, np.int64), height, width)
    return mask_util.frPyObjects({"size": [height, width], "counts": counts}, height, width)


def _runs(text: str) -> np.ndarray:
    """Decode compressed counts as ``rleFrString`` of pycocotools does: (R,) int64.

    Each count is a number of 5-bit groups, the lowest first; a sixth bit says that more follow, and the last group's
    fifth is the sign. From the fourth on it is the difference to the count before the last.
    """
    try:
        codes = np.frombuffer(text.encode("ascii"), np.uint8)
    except UnicodeEncodeError:
        codes = np.zeros(1, np.uint8)
    if ((codes < _FIRST) | (codes > _LAST)).any():
        raise FieldError(
            f"RLE 'counts' is {shown(text)}, which has characters that compressed counts have not{_hint(text)}"
        )
    groups = codes.astype(np.int64) - _FIRST
    ends = np.flatnonzero(groups < 32)  # of each count
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    if not len(ends) or ends[-1] != len(groups) - 1 or (ends - starts >= _GROUPS).any():
        raise FieldError(f"RLE 'counts' is {shown(text)}, which is cut off or no compressed counts{_hint(text)}")
    place = np.arange(len(groups)) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((groups & 31) << (5 * place), starts)
    negative = (groups[ends] & 16) != 0
    numbers -= negative.astype(np.int64) << (5 * (ends - starts + 1))
    for first in (1, 2):  # from the fourth and the fifth on, every other one
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers


def _check_sum(runs: np.ndarray, height: int, width: int, hint: str = "") -> None:
    if (runs < 0).any() or (total := int(runs.sum())) != height * width:
        came = "have a negative run" if (runs < 0).any() else f"add up to {total}"
        raise FieldError(f"RLE 'counts' {came}, expected {height * width} (height x width){hint}")


def _hint(text: str) -> str:
    if text[:2] in ("b'", 'b"'):
        return "; it is the text of Python's bytes: write counts.decode() into the JSON"
    return "; it has doubled backslashes: it was escaped twice" if "\\\\" in text else ""
