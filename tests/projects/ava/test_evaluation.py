"""AVA mAP: hand-worked cases that tell the four protocols apart, and the originals' own figures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from hiera_det.projects.ava.evaluation import DEFAULT_PROTOCOL, PROTOCOLS, evaluate
from hiera_det.projects.ava.formats import read_detections, read_exclusions, read_ground_truth, read_label_map
from hiera_det.projects.ava.rows import Rows

RECORDED = Path(__file__).parent / "recorded"
LABEL_MAP = {1: "walk", 2: "run", 5: "jump"}
LEFT, RIGHT, WHOLE = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)
OFFICIAL = ("official2018", "official2019", "official2020")
BY_EXCLUSION_LIST = ("slowfast", "official2018", "official2019")
CAPPED = ("official2019", "official2020")

Row = tuple[str, float, Sequence[float], int, float]


def table(rows: Iterable[Row], empty: Iterable[tuple[str, float]] = ()) -> Rows:
    """Rows of (video, second, box, action, score)."""
    rows = list(rows)
    videos = list(dict.fromkeys(row[0] for row in rows))
    return Rows(
        videos=videos,
        video=np.array([videos.index(row[0]) for row in rows], dtype=np.int32),
        second=np.array([row[1] for row in rows], dtype=np.float64),
        boxes=np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, 4),
        action=np.array([row[3] for row in rows], dtype=np.int32),
        score=np.array([row[4] for row in rows], dtype=np.float64),
        empty=set(empty),
    )


def truth(box: Sequence[float] = LEFT, action: int = 1, second: float = 902, video: str = "a") -> Row:
    return video, second, box, action, 1.0


def found(score: float, box: Sequence[float] = LEFT, action: int = 1, second: float = 902, video: str = "a") -> Row:
    return video, second, box, action, score


def ap_of_each(ground_truth: Rows, detections: Rows, action: str = "walk", **kwargs) -> dict[str, float]:
    return {
        protocol: round(evaluate(ground_truth, detections, LABEL_MAP, protocol, **kwargs).ap[action], 12)
        for protocol in PROTOCOLS
    }


def each(slowfast: float, of2018: float, of2019: float, of2020: float) -> dict[str, float]:
    return dict(zip(PROTOCOLS, (slowfast, of2018, of2019, of2020), strict=True))


def same(value: float) -> dict[str, float]:
    return each(value, value, value, value)


def test_the_default_is_the_one_of_papers() -> None:
    assert DEFAULT_PROTOCOL == "slowfast"
    assert list(PROTOCOLS) == ["slowfast", *OFFICIAL]
    assert evaluate(table([truth()]), table([]), LABEL_MAP).protocol == "slowfast"


def test_two_actions_by_hand() -> None:
    """Walk: hit, miss, hit of three: (1 + 2/3 + 0) / 3. Run: found. Jump: no ground truth."""
    ground_truth = table([truth(), truth(RIGHT), truth(second=903), truth(action=2)])
    detections = table([found(0.7, RIGHT), found(0.9), found(0.8, WHOLE, second=904), found(0.1, action=2)])
    result = evaluate(ground_truth, detections, LABEL_MAP)
    assert result.ap["walk"] == pytest.approx((1 + 2 / 3) / 3, abs=1e-12)
    assert result.ap["run"] == 1
    assert math.isnan(result.ap["jump"])
    assert result.mean_ap == pytest.approx((result.ap["walk"] + 1) / 2, abs=1e-12)
    assert list(result.ap) == ["walk", "run", "jump"]


def test_precision_is_interpolated() -> None:
    """Ranked miss, hit, hit of two: precision 1/2 then 2/3, so 2/3 at both recalls."""
    ground_truth = table([truth(), truth(second=903)])
    detections = table([found(0.9, RIGHT), found(0.8), found(0.7, second=903)])
    assert ap_of_each(ground_truth, detections) == same(round(2 / 3, 12))


def test_a_detection_has_no_second_choice() -> None:
    """Both ask for the same box; the loser overlaps the other box by 0.6, but does not get it."""
    other = (0.0, 0.0, 1.0, 0.75)
    detections = table([found(0.9, WHOLE), found(0.8, (0.0, 0.0, 1.0, 0.9375))])
    assert ap_of_each(table([truth(WHOLE), truth(other)]), detections) == same(0.5)


def test_duplicates_are_served_in_file_order_or_by_score() -> None:
    """The weaker comes first in the file: SlowFast's protocol counts the stronger as false, ranked first."""
    detections = table([found(0.3), found(0.9)])
    assert ap_of_each(table([truth()]), detections) == each(0.5, 1, 1, 1)


def test_cap_of_50_over_all_actions_of_a_keyframe() -> None:
    crowd = [found(0.9, action=2) for _ in range(50)]
    detections = table([found(0.1), *crowd])
    assert ap_of_each(table([truth()]), detections) == each(1, 1, 0, 0)
    assert ap_of_each(table([truth()]), table([found(0.1), *crowd[1:]])) == same(1)
    elsewhere = [found(0.9, action=2, second=903) for _ in range(50)]
    assert ap_of_each(table([truth()]), table([found(0.1), *elsewhere])) == same(1)


def test_cap_comes_after_the_label_map_and_before_invalid_boxes() -> None:
    unmapped = [found(0.9, action=3) for _ in range(50)]
    assert ap_of_each(table([truth()]), table([*unmapped, found(0.1)])) == same(1)
    invalid = [found(0.9, (0.5, 0.0, 0.5, 1.0)) for _ in range(50)]
    assert ap_of_each(table([truth()]), table([*invalid, found(0.1)])) == each(1, 1, 0, 0)


def test_keyframes_absent_from_the_ground_truth() -> None:
    """A stronger detection where the ground truth has no keyframe: ignored by official2020, else false."""
    detections = table([found(0.9, second=903), found(0.8)])
    assert ap_of_each(table([truth()]), detections) == each(0.5, 0.5, 0.5, 1)
    assert ap_of_each(table([truth()], empty=[("a", 903.0)]), detections) == same(0.5)
    assert ap_of_each(table([truth(), truth(action=3, second=903)]), detections) == same(0.5)
    unknown_video = table([found(0.9, video="b"), found(0.8)])
    assert ap_of_each(table([truth()]), unknown_video) == each(0.5, 0.5, 0.5, 1)


def test_exclusion_list() -> None:
    """An excluded keyframe with a miss; official2020 has no list."""
    ground_truth = table([truth(), truth(second=903)])
    detections = table([found(0.8), found(0.9, RIGHT, second=903)])
    excluded = {("a", 903.0), ("unknown", 902.0)}
    assert ap_of_each(ground_truth, detections) == same(0.25)
    assert ap_of_each(ground_truth, detections, exclusions=excluded) == each(1, 1, 1, 0.25)


def test_official2018_drops_scores_of_minus_10() -> None:
    """Logits: its score threshold is -10, exclusive."""
    ground_truth, detections = table([truth()]), table([found(-9.9, RIGHT), found(-10.0)])
    assert ap_of_each(ground_truth, detections) == each(0.5, 0, 0.5, 0.5)
    assert ap_of_each(ground_truth, table([found(-9.9)])) == same(1)


def test_fractions_of_a_second() -> None:
    ground_truth, detections = (
        table([truth(second=902.25)]),
        table([found(0.9, second=902.75), found(0.1, second=902.25)]),
    )
    assert evaluate(ground_truth, detections, LABEL_MAP, "official2020").ap["walk"] == 1
    for protocol in BY_EXCLUSION_LIST:
        with pytest.raises(ValueError, match=r"second 902\.25 of video a: .* whole seconds"):
            evaluate(ground_truth, detections, LABEL_MAP, protocol)
    close = table([found(0.9, second=902.2500004), found(0.1, second=902.250002)])  # rounded to microseconds
    assert evaluate(ground_truth, close, LABEL_MAP, "official2020").ignored == {
        "detections: keyframe not in the ground truth": 1
    }


def test_equal_scores_are_ranked_in_file_order() -> None:
    hit, miss = found(0.5), found(0.5, RIGHT)
    assert ap_of_each(table([truth()]), table([hit, miss])) == same(1)
    assert ap_of_each(table([truth()]), table([miss, hit])) == same(0.5)


def test_equal_scores_are_capped_in_file_order() -> None:
    crowd = [found(0.5, action=2) for _ in range(50)]
    assert ap_of_each(table([truth()]), table([found(0.5), *crowd])) == same(1)
    assert ap_of_each(table([truth()]), table([*crowd, found(0.5)])) == each(1, 1, 0, 0)


def test_equal_overlaps_go_to_the_first_of_the_ground_truth() -> None:
    """The middle box asks for whichever is first; the second detection is the left box itself."""
    left, middle, right = (0, 0, 0.75, 1), (0.125, 0, 0.875, 1), (0.25, 0, 1, 1)
    detections = table([found(0.9, middle), found(0.8, left)])
    assert ap_of_each(table([truth(left), truth(right)]), detections) == same(0.5)
    assert ap_of_each(table([truth(right), truth(left)]), detections) == same(1)


def test_overlap_of_one_half_is_enough() -> None:
    assert ap_of_each(table([truth(WHOLE)]), table([found(0.9, LEFT)])) == same(1)
    assert ap_of_each(table([truth(WHOLE)]), table([found(0.9, (0.0, 0.0, 0.4999, 1.0))])) == same(0)


@pytest.mark.parametrize("box", [(0.5, 0, 0.5, 1), (0, 0.5, 1, 0.5), (0.5, 0, 0.25, 1)])
def test_detections_without_area_do_not_count(box: Sequence[float]) -> None:
    assert ap_of_each(table([truth()]), table([found(0.9, box), found(0.5)])) == same(1)


def test_ground_truth_without_area_is_missed() -> None:
    assert ap_of_each(table([truth(), truth((0.5, 0, 0.5, 1))]), table([found(0.9)])) == same(0.5)


def test_keyframes_of_other_videos_and_actions_are_apart() -> None:
    ground_truth = table([truth(video="b"), truth(video="a", action=2), truth(video="a", second=1000)])
    detections = table([found(0.9, video="a"), found(0.8, video="b", second=1000), found(0.7, video="b", action=2)])
    assert ap_of_each(ground_truth, detections) == same(0)


def test_without_detections(caplog: pytest.LogCaptureFixture) -> None:
    for protocol in PROTOCOLS:
        result = evaluate(table([truth()]), table([]), LABEL_MAP, protocol)
        assert (result.ap["walk"], result.mean_ap, result.detected_keyframes) == (0, 0, 0)
        assert math.isnan(result.ap["run"])
    assert caplog.text.count("there are no detections to evaluate") == 4


def test_counts_of_keyframes_and_ignored_rows() -> None:
    ground_truth = table([truth(), truth(second=903), truth(RIGHT, second=903), truth(action=9), truth(second=904)])
    detections = table(
        [found(0.9), found(0.9, (0.5, 0, 0.5, 1)), found(0.9, action=7), found(0.9, action=7, second=904),
         found(0.8, second=904), found(0.7, second=950), *(found(0.5, action=2) for _ in range(60))]
    )  # fmt: skip
    results = {
        protocol: evaluate(ground_truth, detections, LABEL_MAP, protocol, {("a", 904.0)}) for protocol in PROTOCOLS
    }
    assert (results["slowfast"].keyframes, results["slowfast"].detected_keyframes) == (2, 2)
    assert results["slowfast"].ignored == {
        "ground truth: action not in the label map": 1,
        "ground truth: keyframe in the exclusion list": 1,
        "detections: action not in the label map": 2,
        "detections: keyframe in the exclusion list": 1,
        "detections: box without area": 1,
    }
    assert (results["official2020"].keyframes, results["official2020"].detected_keyframes) == (3, 2)
    assert results["official2020"].ignored == {
        "ground truth: action not in the label map": 1,
        "detections: action not in the label map": 2,
        "detections: keyframe not in the ground truth": 1,
        "detections: beyond the 50 of highest score in the keyframe": 12,
        "detections: box without area": 1,
    }


def test_unknown_videos_and_unused_exclusions_are_said(caplog: pytest.LogCaptureFixture) -> None:
    detections = table([found(0.9, video="z.mp4"), found(0.5)])
    evaluate(table([truth()]), detections, LABEL_MAP, exclusions={("a", 999.0)})
    assert "lacks 1 of 2 videos of the detections, which are false positives unless excluded: z.mp4" in caplog.text
    assert "exclusion list" not in caplog.text
    caplog.clear()
    evaluate(table([truth()]), detections, LABEL_MAP, "official2020", {("a", 999.0)})
    assert "which are ignored: z.mp4" in caplog.text
    assert "official2020 has no exclusion list: the 1 exclusions are not used" in caplog.text


def test_errors() -> None:
    good, detections = table([truth()]), table([found(0.9)])
    with pytest.raises(ValueError, match="protocol 'latest', expected one of slowfast, official2018"):
        evaluate(good, detections, LABEL_MAP, "latest")
    with pytest.raises(ValueError, match=r"none of the 1 rows of the ground truth counts .*actions \[1, 2, 5\]"):
        evaluate(table([truth(action=77)]), detections, LABEL_MAP)
    with pytest.raises(ValueError, match="none of the 0 rows"):
        evaluate(table([]), detections, LABEL_MAP)
    with pytest.raises(ValueError, match=r"none of the 1 rows .*exclusion list"):
        evaluate(good, detections, LABEL_MAP, exclusions={("a", 902.0)})
    with pytest.raises(ValueError, match=r"row 1 of the detections: .* not finite"):
        evaluate(good, table([found(0.9), found(math.nan)]), LABEL_MAP)
    with pytest.raises(ValueError, match=r"row 0 of the detections: .* not finite"):
        evaluate(good, table([found(0.9, (0, 0, math.nan, 1))]), LABEL_MAP)
    for second in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"seconds of the detections are .* expected from 0"):
            evaluate(good, table([found(0.9, second=second)]), LABEL_MAP, "official2020")
    with pytest.raises(ValueError, match=r"row 0 of the ground truth: .* swapped"):
        evaluate(table([truth((0.5, 0, 0.25, 1))]), detections, LABEL_MAP)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_figures_of_the_originals(protocol: str) -> None:
    """What the four originals gave for the recorded files (tests/projects/ava/recorded/README.md)."""
    expected = json.loads((RECORDED / "originals.json").read_text())[protocol]
    result = evaluate(
        read_ground_truth(RECORDED / "ground_truth.csv"),
        read_detections(RECORDED / "detections.csv"),
        read_label_map(RECORDED / "label_map.pbtxt"),
        protocol,
        read_exclusions(RECORDED / "exclusions.csv") if protocol in BY_EXCLUSION_LIST else frozenset(),
    )
    assert result.mean_ap == pytest.approx(expected["mAP"], abs=1e-12)
    assert result.ap == pytest.approx(expected["ap"], abs=1e-12, nan_ok=True)
    assert any(math.isnan(value) for value in expected["ap"].values())
