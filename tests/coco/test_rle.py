from __future__ import annotations

import numpy as np
import pycocotools.mask as mask_util
import pytest

from hiera_det.coco.rle import _runs, read_rle
from hiera_det.coco.values import FieldError, Values


def _counts(mask):
    """Runs of 0 and 1 by turns, columns first, by numpy."""
    flat = np.concatenate([[0], mask.T.reshape(-1)])
    ends = np.flatnonzero(np.diff(flat)).tolist()
    return np.diff([0, *ends, mask.size]).tolist()


@pytest.mark.parametrize("density", [0.0, 0.001, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (700, 900)])
def test_runs_are_those_that_pycocotools_has_encoded(size, density):
    mask = (np.random.default_rng(0).random(size) < density).astype(np.uint8)
    text = mask_util.encode(np.asfortranarray(mask))["counts"].decode()
    assert _runs(text).tolist() == _counts(mask)
    read = read_rle({"size": list(size), "counts": text}, *size, Values())
    np.testing.assert_array_equal(mask_util.decode(read), mask)
    uncompressed = read_rle({"size": list(size), "counts": _counts(mask)}, *size, Values())
    np.testing.assert_array_equal(mask_util.decode(uncompressed), mask)


def _text(size=(40, 60)):
    mask = (np.random.default_rng(1).random(size) < 0.4).astype(np.uint8)
    return mask_util.encode(np.asfortranarray(mask))["counts"].decode()


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (_text()[:-30], "add up to|cut off"),
        (_text() + "0", "add up to|negative"),
        (_text((40, 59)), r"add up to 2360, expected 2400 \(height x width\)"),
        (str(_text().encode()), "the text of Python's bytes"),
        (_text().replace("O", "\\\\"), "add up to|escaped twice|negative"),
        ("", "cut off or no compressed counts"),
        ("ä", "characters that compressed counts have not"),
        ("P" * 40 + "0", "no compressed counts"),
        ("\\RQP0hmRP0XoP0llooooO", "no compressed counts"),  # its last would be -1 << 35, in C's 32 bits another
        ("o", "cut off"),
        ([2400.0], r"has 2400\.0, expected integers"),
        ([True, 2399], "has True, expected integers"),
        ([-1, 2401], "has -1, expected integers"),
        ([10**400], r"has an integer of 1329 bits"),
        ([1, 2, 3], "add up to 6, expected 2400"),
        ([], "add up to 0"),
        (None, "is a NoneType"),
        ({"a": 1}, "is a dict"),
    ],
)
def test_counts_that_do_not_make_the_mask_are_refused(counts, message):
    with pytest.raises(FieldError, match=message):
        read_rle({"size": [40, 60], "counts": counts}, 40, 60, Values())


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ([60, 40], "it has the width first"),
        ([40, 61], r"is \[40, 61\], expected the image's \[40, 60\]"),
        ([40], "expected the image's"),
        (None, "expected the image's"),
        ([40, [60]], "expected int"),
        ([10**400, 60], "expected int"),
    ],
)
def test_sizes_other_than_the_image_s_are_refused(size, message):
    with pytest.raises(FieldError, match=message):
        read_rle({"size": size, "counts": [2400]}, 40, 60, Values())


def test_sizes_that_are_decimal_numbers_or_text_are_taken():
    values = Values()
    assert mask_util.area(read_rle({"size": [40.0, "60"], "counts": [0, 2400]}, 40, 60, values)) == 2400
    assert values.taken.total() == 2
