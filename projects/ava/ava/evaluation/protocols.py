"""The four evaluators that publish figures as AVA mAP, and what they differ in."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["DEFAULT_PROTOCOL", "PROTOCOLS", "Protocol"]


@dataclass(frozen=True)
class Protocol:
    """What one evaluator does where the others differ.

    Attributes:
        ticks: units of time per second in the name of a keyframe; with 1 a fraction of a second is an error.
        exclusions: keyframes of an exclusion list are left out. Otherwise such a list is not used.
        absent_ignored: detections on keyframes that the ground truth does not name are left out. Otherwise they are
            false positives.
        score_order: the detections of a keyframe take their ground truth in descending order of score, in file order
            where scores are equal. Otherwise all in file order.
        cap: detections kept per keyframe over all actions of the label map, those of the highest scores (the first in
            file order where scores are equal), before boxes without area are dropped. None keeps all.
        lowest_score: detections of this score and below are left out.
    """

    ticks: int
    exclusions: bool
    absent_ignored: bool
    score_order: bool
    cap: int | None
    lowest_score: float = -math.inf


# official*: ActivityNet's Evaluation/get_ava_performance.py at be7854e, 3fee089 and af461c3.
# slowfast: slowfast/utils/ava_eval_helper.py.
PROTOCOLS = {
    "slowfast": Protocol(ticks=1, exclusions=True, absent_ignored=False, score_order=False, cap=None),
    "official2018": Protocol(
        ticks=1, exclusions=True, absent_ignored=False, score_order=True, cap=None, lowest_score=-10.0
    ),
    "official2019": Protocol(ticks=1, exclusions=True, absent_ignored=False, score_order=True, cap=50),
    "official2020": Protocol(ticks=1_000_000, exclusions=False, absent_ignored=True, score_order=True, cap=50),
}
DEFAULT_PROTOCOL = "slowfast"  # published figures use it
