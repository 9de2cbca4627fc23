"""AVA mAP of detections, by one of the protocols."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from hiera_det.data.class_names import distinct_names
from hiera_det.projects.ava.evaluation.average_precision import average_precision
from hiera_det.projects.ava.evaluation.keyframes import KeyframeNames, contains, unique_runs
from hiera_det.projects.ava.evaluation.matching import match, top_per_keyframe
from hiera_det.projects.ava.evaluation.protocols import DEFAULT_PROTOCOL, PROTOCOLS, Protocol
from hiera_det.projects.ava.evaluation.reasons import LOW, reasons_of_low_ap
from hiera_det.projects.ava.rows import Rows

__all__ = ["Result", "evaluate"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """AP per action, and what it was computed of.

    Attributes:
        protocol: its name.
        mean_ap: mean AP in [0, 1] over the actions that have ground truth.
        ap: AP by action name in the order of the label map, by ``name (id N)`` where several actions have one name; NaN
            for an action without ground truth.
        keyframes: keyframes with ground truth of the label map's actions that count.
        detected_keyframes: keyframes with detections that count.
        ignored: rows that do not count, by reason; reasons without rows are not there.
    """

    protocol: str
    mean_ap: float
    ap: dict[str, float]
    keyframes: int
    detected_keyframes: int
    ignored: dict[str, int] = field(default_factory=dict)


@dataclass
class _Table:
    """Rows that count: places in ``rows`` in file order, and the keyframes of all rows."""

    rows: Rows
    keys: np.ndarray
    kept: np.ndarray
    ignored: dict[str, int]

    def keep(self, mask: np.ndarray, reason: str) -> None:
        """Keep those of ``kept`` where ``mask`` is true; count the others under ``reason``."""
        if not mask.all():
            self.ignored[reason] = int(len(mask) - mask.sum())
            self.kept = self.kept[mask]


def evaluate(
    ground_truth: Rows,
    detections: Rows,
    label_map: Mapping[int, str],
    protocol: str = DEFAULT_PROTOCOL,
    exclusions: Collection[tuple[str, float]] = frozenset(),
) -> Result:
    """Compute AP per action and their mean.

    Rows of actions that the label map lacks are ignored. Where the originals leave the order of equal scores to the
    sorting algorithm, here they are in file order; so the figure depends on nothing else. With ``slowfast`` the order
    of the detections of one keyframe and action matters, with the others only among equal scores.

    Args:
        ground_truth: ``action`` and ``boxes`` are used, ``empty`` by official2020 alone.
        detections: ``score`` too; any finite numbers.
        label_map: action names by id.
        protocol: a name of ``PROTOCOLS``.
        exclusions: keyframes (video id, second) to leave out; official2020 does not use them, which is logged.

    Raises:
        ValueError: the protocol is unknown, no row of the ground truth counts (its actions are not in the label map,
            or its keyframes are excluded), a number is not finite, a ground-truth box has its corners swapped, or a
            second is not as the protocol has it.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    rules = PROTOCOLS[protocol]
    _check(ground_truth, detections)
    names = KeyframeNames((ground_truth, detections), rules.ticks)
    truth, detected = (
        _of_known_actions(rows, names.of_rows(rows), label_map, what)
        for rows, what in ((ground_truth, "ground truth"), (detections, "detections"))
    )
    _leave_out_keyframes(truth, detected, names, rules, exclusions)
    if not len(truth.kept):
        raise ValueError(
            f"none of the {len(ground_truth)} rows of the ground truth counts {truth.ignored or ''}; "
            f"the label map has the actions {sorted(label_map)}"
        )
    _leave_out_detections(detected, rules)
    _report(protocol, truth, detected, exclusions)
    ap = _ap_per_action(truth, detected, label_map, rules)
    mean_ap = float(np.mean([value for value in ap.values() if value == value]))
    if mean_ap < LOW:
        for text in reasons_of_low_ap(ground_truth, truth.keys, detections, detected.keys):
            logger.warning("mAP is %.2f %%: %s", 100 * mean_ap, text)
    return Result(
        protocol=protocol,
        mean_ap=mean_ap,
        ap=ap,
        keyframes=len(unique_runs(truth.keys[truth.kept])),
        detected_keyframes=len(unique_runs(detected.keys[detected.kept])),
        ignored=truth.ignored | detected.ignored,
    )


def _check(ground_truth: Rows, detections: Rows) -> None:
    for rows, what in ((ground_truth, "ground truth"), (detections, "detections")):
        if not ((rows.second >= 0) & (rows.second < np.inf)).all():
            raise ValueError(f"seconds of the {what} are {rows.second.min()} to {rows.second.max()}, expected from 0")
        finite = np.isfinite(rows.boxes).all(axis=1) & np.isfinite(rows.score)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            raise ValueError(f"row {row} of the {what}: box {rows.boxes[row]}, score {rows.score[row]} are not finite")
    swapped = (ground_truth.boxes[:, :2] > ground_truth.boxes[:, 2:]).any(axis=1)
    if swapped.any():
        row = int(np.flatnonzero(swapped)[0])
        raise ValueError(f"row {row} of the ground truth: box {ground_truth.boxes[row]} has its corners swapped")


def _of_known_actions(rows: Rows, keys: np.ndarray, label_map: Mapping[int, str], what: str) -> _Table:
    table = _Table(rows, keys, np.arange(len(rows)), {})
    table.keep(np.isin(rows.action, list(label_map)), f"{what}: action not in the label map")
    return table


def _leave_out_keyframes(
    truth: _Table, detected: _Table, names: KeyframeNames, rules: Protocol, exclusions: Collection[tuple[str, float]]
) -> None:
    if rules.exclusions and exclusions:
        excluded = names.of_pairs(exclusions)
        if not contains(excluded, np.concatenate([truth.keys, detected.keys])).any():
            logger.warning(
                "none of the %d excluded keyframes is in the ground truth or the detections", len(exclusions)
            )
        for table, what in ((truth, "ground truth"), (detected, "detections")):
            table.keep(~contains(excluded, table.keys[table.kept]), f"{what}: keyframe in the exclusion list")
    if rules.absent_ignored:
        named = np.union1d(unique_runs(truth.keys), names.of_pairs(truth.rows.empty))
        detected.keep(contains(named, detected.keys[detected.kept]), "detections: keyframe not in the ground truth")


def _leave_out_detections(detected: _Table, rules: Protocol) -> None:
    rows = detected.rows
    if rules.cap is not None:
        top = top_per_keyframe(detected.keys[detected.kept], rows.score[detected.kept], rules.cap)
        detected.keep(top, f"detections: beyond the {rules.cap} of highest score in the keyframe")
    x1, y1, x2, y2 = (rows.boxes[detected.kept, i] for i in range(4))
    detected.keep((x1 < x2) & (y1 < y2), "detections: box without area")
    detected.keep(rows.score[detected.kept] > rules.lowest_score, f"detections: score {rules.lowest_score:g} or less")


def _report(protocol: str, truth: _Table, detected: _Table, exclusions: Collection[tuple[str, float]]) -> None:
    rules = PROTOCOLS[protocol]
    if exclusions and not rules.exclusions:
        logger.warning("protocol %s has no exclusion list: the %d exclusions are not used", protocol, len(exclusions))
    unknown = sorted(set(detected.rows.videos) - set(truth.rows.videos) - {video for video, _ in truth.rows.empty})
    if unknown:
        effect = "ignored" if rules.absent_ignored else "false positives unless excluded"
        logger.warning(
            "the ground truth lacks %d of %d videos of the detections, which are %s: %s",
            len(unknown), len(detected.rows.videos), effect, ", ".join(unknown[:3]),
        )  # fmt: skip
    if not len(detected.kept):
        logger.warning("there are no detections to evaluate, so AP is 0")


def _ap_per_action(truth: _Table, detected: _Table, label_map: Mapping[int, str], rules: Protocol) -> dict[str, float]:
    truth_places, detected_places = _by_action(truth), _by_action(detected)
    ap = {}
    for action, name in zip(label_map, distinct_names(list(label_map.values()), list(label_map)), strict=True):
        of_truth, of_detections = truth_places(action), detected_places(action)
        scores = detected.rows.score[of_detections]
        ranked = np.argsort(-scores, kind="stable")
        true_positive = match(
            keys=detected.keys[of_detections],
            boxes=detected.rows.boxes[of_detections],
            order=ranked if rules.score_order else np.arange(len(ranked)),
            truth_keys=truth.keys[of_truth],
            truth_boxes=truth.rows.boxes[of_truth],
        )
        ap[name] = average_precision(true_positive[ranked], len(of_truth))
    return ap


def _by_action(table: _Table) -> Callable[[int], np.ndarray]:
    """A function that gives the places in ``table.rows`` of an action's rows that count, in file order."""
    actions = table.rows.action[table.kept]
    order = np.argsort(actions, kind="stable")
    places, actions = table.kept[order], actions[order]

    def of(action: int) -> np.ndarray:
        return places[np.searchsorted(actions, action, "left") : np.searchsorted(actions, action, "right")]

    return of
