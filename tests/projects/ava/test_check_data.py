from __future__ import annotations

import runpy
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from hiera_det.projects.ava.data.check import check_data
from hiera_det.projects.ava.miniset import write_miniset
from tests.data.video.generated import damage

TOOL = Path(__file__).parents[3] / "projects" / "ava" / "check_data.py"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check") / "mini"
    write_miniset(folder, num_train=2, num_val=1, image_size=64)
    return folder


@pytest.fixture
def root(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "mini"))


def _check(root, videos_begin=900.0):
    return check_data(root, frames_begin=900.0, videos_begin=videos_begin, fps=30.0)


def _only_problem(root):
    (problem,) = _check(root).problems
    return problem


def test_a_whole_set(root):
    report = _check(root)
    assert report.problems == []
    text = "\n".join(line for _, line in report.entries)
    assert "actions.pbtxt: 6 actions, ids 1 to 6" in text
    assert "train.csv: ground truth" in text and "train_person_boxes.csv: person boxes" in text
    assert "3 videos, 360 frames" in text
    assert "frames: first and last keyframe of 3 annotated videos decoded" in text
    assert "videos: first and last keyframe of 3 annotated videos decoded" in text
    assert ("note", f"no exclusions in {root / 'annotations'}") in report.entries


def test_names_of_avas_own_files(root):
    annotations = root / "annotations"
    (annotations / "train.csv").rename(annotations / "ava_train_v2.2.csv")
    (annotations / "val.csv").rename(annotations / "ava_val_v2.2.csv")
    (annotations / "person_box_67091280_iou90").mkdir()
    boxes = annotations / "person_box_67091280_iou90" / "ava_detection_val_boxes_and_labels.csv"
    (annotations / "val_person_boxes.csv").rename(boxes)
    (annotations / "ava_val_excluded_timestamps_v2.2.csv").write_text("val_0001,0903\n")
    (root / "videos").rename(root / "videos_15min")
    report = _check(root)
    assert report.problems == []
    text = "\n".join(line for _, line in report.entries)
    assert "ava_val_excluded_timestamps_v2.2.csv: 1 keyframes excluded" in text
    assert "ava_detection_val_boxes_and_labels.csv: person boxes" in text
    assert "videos_15min: first and last keyframe of 3" in text


def test_without_lists_the_folders_are_listed(root):
    shutil.rmtree(root / "frame_lists")
    assert _check(root).problems == []
    (root / "frames" / "val_0001" / "val_0001_000010.jpg").unlink()
    assert "frames of val_0001: 1 of 120 missing: val_0001/val_0001_000010.jpg" in _only_problem(root)


def test_missing_frames(root):
    for number in range(20, 28):
        (root / "frames" / "val_0001" / f"val_0001_{number:06d}.jpg").unlink()
    problem = _only_problem(root)
    assert "val_0001: 8 of 120 missing: val_0001/val_0001_000020.jpg" in problem and "and 3 more" in problem


def test_a_damaged_frame(root):
    path = root / "frames" / "train_0002" / "train_0002_000061.jpg"
    path.write_bytes(path.read_bytes()[:300])
    assert "train_0002_000061.jpg is cut off" in _only_problem(root)


def test_a_folder_of_frames_that_is_missing(root):
    shutil.rmtree(root / "frames" / "val_0001")
    problems = _check(root).problems
    assert any("frames of val_0001: 120 of 120 missing" in problem for problem in problems)


def test_a_video_that_is_missing_and_one_that_is_cut_off(root):
    (root / "videos" / "val_0001.mp4").unlink()
    path = root / "videos" / "train_0001.mp4"
    path.write_bytes(path.read_bytes()[:2000])
    problems = _check(root).problems
    assert len(problems) == 2
    assert "videos: 1 of 3 annotated videos missing: val_0001" in problems[0]
    assert "train_0001.mp4 cannot be decoded" in problems[1]


def test_videos_that_begin_elsewhere(root):
    problems = _check(root, videos_begin=0.0).problems
    assert len(problems) == 3
    assert all("ends at 4.000 s, before the keyframe at 902.000 s" in problem for problem in problems)


def test_malformed_rows_are_named_with_their_line(root):
    with open(root / "annotations" / "val.csv", "a") as file:
        file.write("val_0001,0903,0.1,0.2,1.5,0.8,1,0\n")
    assert "val.csv, line" in _only_problem(root)


def test_unknown_actions_and_flat_boxes_are_noted(root):
    with open(root / "annotations" / "val.csv", "a") as file:
        file.write("val_0001,0903,0.1,0.2,0.1,0.8,77,0\n")
    notes = [text for kind, text in _check(root).entries if kind == "note"]
    assert any("actions that no label map has: 77" in note for note in notes)
    assert any("1 boxes have no area" in note for note in notes)


def test_an_empty_folder(tmp_path):
    problems = "\n".join(_check(tmp_path).problems)
    assert "no label map" in problems and "no ground truth" in problems
    assert "neither frames/ nor videos/" in problems


@pytest.mark.parametrize(("arguments", "code"), [(["--videos-begin", "900"], 0), ([], 1)])
def test_the_tools_exit_code(whole, monkeypatch, capsys, arguments, code):
    monkeypatch.setattr(sys, "argv", ["check_data.py", str(whole), *arguments])
    with pytest.raises(SystemExit) if code else nullcontext() as stop:
        runpy.run_path(str(TOOL), run_name="__main__")
    assert stop is None or stop.value.code == code
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == ("0 problems" if code == 0 else "3 problems")


def test_the_tool_without_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["check_data.py", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL), run_name="__main__")
    assert stop.value.code == 2
    assert "no folder at" in capsys.readouterr().err


def test_what_the_tables_hold_is_said(root):
    annotations = root / "annotations"
    text = (annotations / "val.csv").read_text()
    rows = [line.split(",") for line in text.splitlines()]
    rows[0][2] = "-0.03"
    (annotations / "val.csv").write_text("\n".join(map(",".join, [*rows, rows[-1]])) + "\n", encoding="utf-8-sig")
    (annotations / "actions.pbtxt").rename(annotations / "action_list.txt")
    (annotations / "val_excluded.csv").write_text("val_0001.mp4,0902\n")
    (annotations / "README.txt").write_text("no table")
    report = _check(root)
    assert report.problems == []
    notes = "\n".join(text for kind, text in report.entries if kind == "note")
    assert "val.csv: 1 boxes reach beyond the frame, by up to 0.03 of its side" in notes
    assert "val.csv: 1 rows come again with the same box and action" in notes
    assert "val_excluded.csv: none of its videos is in the ground truth" in notes
    assert "score below 0.8, DATASETS.MIN_BOX_SCORE" in notes


def test_person_boxes_of_other_seconds_are_a_problem(root):
    path = root / "annotations" / "val_person_boxes.csv"
    path.write_text(path.read_text().replace(",0902,", ",0002,").replace(",0903,", ",0003,"))
    problems = _check(root).problems
    assert "have no keyframe in common" in problems[0] and "with +900 s on the seconds of" in problems[0]
    path.write_text(path.read_text().replace("val_0001", "test_0001"))
    assert any(kind == "note" and "have no video in common" in text for kind, text in _check(root).entries)


def test_every_frame_list_is_read_by_itself(root):
    for name, number in (("train", 5), ("val", 9)):
        path = root / "frame_lists" / f"{name}.csv"
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line for i, line in enumerate(lines) if i != number) + "\n")
    problems = _check(root).problems
    assert len(problems) == 2
    assert "train.csv, video train_0001: frame_id 4 is missing" in problems[0]
    assert "val.csv, video val_0001: frame_id 8 is missing" in problems[1]


def test_a_compressed_table_is_named(root):
    (root / "annotations" / "val.csv").rename(root / "annotations" / "val.csv.gz")
    assert "val.csv.gz is compressed; unpack it" in _check(root).problems[0]


def test_frames_of_another_name(root):
    shutil.rmtree(root / "frame_lists")
    for path in (root / "frames").rglob("*.jpg"):
        path.rename(path.with_name(f"img_{path.stem[-5:]}.jpg"))
    assert "DATASETS.FRAME_NAMES" in _check(root).problems[0]
    report = check_data(root, frames_begin=900.0, videos_begin=900.0, fps=30.0, frame_names="img_{:05d}.jpg")
    assert report.problems == []


def test_a_clip_is_read_at_both_ends(root):
    """The last keyframe, at 3 s, is whole; the last frame of its clip, at 3.933 s, is not."""
    damage(root / "videos" / "val_0001.mp4", 118)
    assert "val_0001.mp4 at 3.933 s is damaged and cannot be decoded" in _only_problem(root)
