"""Average precision as the area under the interpolated precision-recall curve."""

from __future__ import annotations

import numpy as np

__all__ = ["average_precision"]


def average_precision(true_positive: np.ndarray, num_truth: int) -> float:
    """AP of ranked detections, as in PASCAL VOC from 2010 on.

    Args:
        true_positive: (N,) bool, in descending order of score.
        num_truth: instances in the ground truth.

    Returns:
        The area in [0, 1]; 0 without detections, NaN without ground truth.
    """
    if not num_truth:
        return float("nan")
    places = np.flatnonzero(true_positive)  # recall rises there by 1 / num_truth, and nowhere else
    precision = np.arange(1, len(places) + 1) / (places + 1)
    interpolated = np.maximum.accumulate(precision[::-1])  # the largest at this recall or a higher one
    return float(interpolated.sum() / num_truth)
