from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from hiera_det.data.generated import GeneratedSpec
from hiera_det.projects.ava.data.frames import FrameFolders
from hiera_det.projects.ava.data.keyframes import keyframes_from
from hiera_det.projects.ava.data.videos import VideoFiles, find_videos
from hiera_det.projects.ava.figures import ACTIONS, draw_box, draw_frame, make_background, make_figure
from hiera_det.projects.ava.formats import read_ground_truth, read_label_map, read_person_boxes
from hiera_det.projects.ava.miniset import KEYFRAMES, make_scene, write_miniset

TOOL = Path(__file__).parents[3] / "projects" / "ava" / "make_miniset.py"
SIZE = 96


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("miniset") / "mini"
    write_miniset(folder, num_train=5, num_val=3, image_size=SIZE, seed=3)
    return folder


@pytest.fixture(scope="module")
def figures():
    rng = np.random.default_rng(0)
    return [make_figure(rng, (0.3, 0.7), 2.5) for _ in range(1500)]


def _doing(figures, name):
    number = next(number for number, action in ACTIONS.items() if action == name)
    return [figure for figure in figures if number in figure.actions]


def test_the_files_are_avas(root):
    label_map = read_label_map(root / "annotations" / "actions.pbtxt")
    assert label_map == ACTIONS
    for split, count in (("train", 5), ("val", 3)):
        truth = read_ground_truth(root / "annotations" / f"{split}.csv")
        persons = read_person_boxes(root / "annotations" / f"{split}_person_boxes.csv")
        assert len(truth.videos) == len(persons.videos) == count
        assert set(truth.second) == set(KEYFRAMES)
        keyframes = keyframes_from(truth, None, label_map, min_score=0, training=True)
        found = keyframes_from(truth, persons, label_map, min_score=0.85, training=False)
        assert len(keyframes) == len(found) == 2 * count
        for keyframe, other in zip(keyframes, found, strict=True):
            assert len(keyframe.boxes) == len(other.boxes)  # every person is found, and slightly beside
            assert 0 < np.abs(keyframe.boxes - other.boxes).max() < 0.06
            assert (keyframe.labels[:, :5].sum(axis=1) == 1).all()  # one posture, waving or not
        with open(root / "annotations" / f"{split}.csv", newline="") as file:
            assert all(len(row) == 8 and row[1] in ("0902", "0903") for row in csv.reader(file))


def test_frames_and_videos_show_the_same(root):
    frames = FrameFolders(root / "frames", [root / "frame_lists" / f"{split}.csv" for split in ("train", "val")])
    films = VideoFiles(find_videos(root / "videos"), first_second=900)
    assert set(frames.videos) == set(films.videos) == {p.name for p in (root / "frames").iterdir()}
    assert len(frames.videos) == 8
    for video in frames.videos:
        for second in KEYFRAMES:
            pictures, film = frames.read(video, second, 16, 4).astype(int), films.read(video, second, 16, 4)
            assert pictures.shape == film.shape == (16, SIZE, SIZE, 3)
            assert np.abs(pictures - film).mean() < 4


def test_frames_and_videos_are_aligned(root):
    spec = GeneratedSpec(5, 3, SIZE, 3)
    films = VideoFiles(find_videos(root / "videos"), first_second=900)
    frames = FrameFolders(root / "frames")
    told_apart = 0
    for number in range(1, 6):
        background, scene, _ = make_scene(spec, 0, number)
        drawn = np.stack([draw_frame(background, scene, (60 + step) / 30) for step in (-2, -1, 0, 1, 2)]).astype(int)
        told_apart += np.abs(drawn[1] - drawn[2]).max() > 60  # somebody moves
        for source in (films, frames):
            read = source.read(f"train_{number:04d}", 902, 1, 0)[0]
            errors = np.abs(drawn - read).mean(axis=(1, 2, 3))
            assert errors[2] == errors.min()
    assert told_apart >= 3


def test_boxes_lie_on_the_figures(root):
    spec = GeneratedSpec(5, 3, SIZE, 3)
    truth = read_ground_truth(root / "annotations" / "train.csv")
    frames = FrameFolders(root / "frames")
    for keyframe in keyframes_from(truth, None, ACTIONS, min_score=0, training=True):
        background = make_scene(spec, 0, int(keyframe.video[-4:]))[0]
        picture = frames.read(keyframe.video, keyframe.second, 1, 0)[0].astype(int)
        changed = np.abs(picture - background).max(axis=2) > 25
        covered = np.zeros_like(changed)
        for x1, y1, x2, y2 in np.rint(keyframe.boxes * SIZE).astype(int):
            inside = changed[y1:y2, x1:x2]
            assert inside.any(axis=0).mean() > 0.8 and inside.any(axis=1).mean() > 0.8  # tight
            covered[max(y1 - 2, 0) : y2 + 2, max(x1 - 2, 0) : x2 + 2] = True
        assert not (changed & ~covered).any()


def test_every_action_and_pairs_are_there(figures):
    shares = {name: len(_doing(figures, name)) / len(figures) for name in ACTIONS.values()}
    assert min(shares.values()) > 0.1
    assert any(len(figure.actions) == 2 for figure in figures)
    spec = GeneratedSpec(200, 1, 64, 0)
    pairs = np.mean([len(make_scene(spec, 0, number)[1]) == 2 for number in range(200)])
    assert 0.3 < pairs < 0.5


def test_motion_is_what_the_label_says(figures):
    for name, moves in (("walk left", -1), ("walk right", 1), ("stand", 0), ("crouch", 0), ("jump", 0)):
        for figure in _doing(figures, name)[:10]:
            if "wave" in [ACTIONS[number] for number in figure.actions]:
                continue
            boxes = np.stack([draw_box(figure, 2.5 + step / 10, 96) for step in range(-4, 5)])
            # The legs open and close: the left and the right edge together tell where somebody goes.
            shift = (boxes[-1] - boxes[0])[[0, 2]].mean()
            assert abs(shift) < 0.02 if moves == 0 else moves * shift > 0.05
            rises = np.ptp(boxes[:, 1])
            assert rises > 0.03 if name == "jump" else rises < 0.01


@pytest.mark.parametrize("second", KEYFRAMES)
def test_a_single_frame_does_not_tell_a_walk_to_the_left_from_one_to_the_right(figures, second):
    """Both kinds have the same looks: places mirrored between the two keyframes, legs, arms and heights alike."""
    left, right = (_doing(figures, f"walk {side}") for side in ("left", "right"))
    other = sum(KEYFRAMES) - second
    place = np.mean([f.foot[0] + f.speed * (second - 900) for f in left])
    mirrored = np.mean([f.foot[0] + f.speed * (other - 900) for f in right])
    assert abs(place - mirrored) < 0.02


def test_a_single_frame_of_a_figure_without_raised_arm_is_symmetric(figures):
    grey = np.full((128, 128, 3), 128, np.uint8)
    figure = next(f for f in _doing(figures, "walk left") if f.arm == 0)
    centred = draw_frame(grey, [_moved(figure, 0.5)], 0.0).astype(int)
    assert np.abs(centred - centred[:, ::-1]).mean() < 1
    assert np.abs(centred - 128).max() > 50


def _moved(figure, x):
    return type(figure)(**{**vars(figure), "foot": (x, figure.foot[1])})


def test_held_poses_look_like_moments_of_motion(figures):
    def legs(name):
        return np.array([np.sin(2 * np.pi * (f.rates[0] * 2 + f.phases[0])) for f in _doing(figures, name)])

    def arms(wanted):
        chosen = [f for f in figures if (6 in f.actions) == wanted and f.arm]
        return np.array([np.sin(2 * np.pi * (f.rates[2] * 2 + f.phases[2])) for f in chosen])

    for still, moving in ((legs("stand"), legs("walk left")), (arms(False), arms(True))):
        quantiles = np.linspace(0.1, 0.9, 9)
        assert np.abs(np.quantile(still, quantiles) - np.quantile(moving, quantiles)).max() < 0.35
    assert np.mean([f.arm != 0 for f in figures if 6 not in f.actions]) > 0.6  # an arm up is not a wave yet


def test_backgrounds_are_textured_and_differ():
    first, second = (make_background(np.random.default_rng(seed), 96) for seed in (0, 1))
    assert first.std(axis=(0, 1)).min() > 8
    assert np.abs(first.astype(int) - second).mean() > 8
    assert cv2.Laplacian(first, cv2.CV_64F).std() > 1


def test_same_seed_same_files(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_miniset(tmp_path / name, num_train=1, num_val=1, image_size=64, seed=seed)

    def read(name):
        return {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.*") if p.is_file()}

    assert read("a") == read("b")
    first = Path("frames/train_0001/train_0001_000061.jpg")
    assert read("a")[first] != read("c")[first]
    assert read("a")[first] != read("a")[Path("frames/val_0001/val_0001_000061.jpg")]


def test_existing_folder(tmp_path, caplog):
    target = tmp_path / "mini"
    write_miniset(target, num_train=1, num_val=1, image_size=64)
    with caplog.at_level("INFO"):
        write_miniset(target, num_train=1, num_val=1, image_size=64)
    assert "there already" in caplog.text
    with pytest.raises(FileExistsError, match="not empty"):
        write_miniset(target, num_train=2, num_val=1, image_size=64)
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not empty"):
        write_miniset(other, num_train=1, num_val=1, image_size=64)
    assert (other / "precious.txt").read_text() == "keep"


def test_interrupted_writing_leaves_no_set(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    target = tmp_path / "mini"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("hiera_det.projects.ava.miniset.write_video", interrupt)
        write_miniset(target, num_train=1, num_val=1, image_size=64)
    assert not target.exists()
    write_miniset(target, num_train=1, num_val=1, image_size=64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mini"]


def test_processes_write_what_one_writes(root, tmp_path, monkeypatch):
    monkeypatch.setattr("hiera_det.projects.ava.miniset._IN_PROCESS", 0)
    write_miniset(tmp_path / "mini", num_train=5, num_val=3, image_size=SIZE, seed=3)
    names = [str(path.relative_to(root)) for path in root.glob("*/**/*") if path.suffix in (".csv", ".pbtxt", ".jpg")]
    assert len(names) > 100
    for name in names:
        assert (tmp_path / "mini" / name).read_bytes() == (root / name).read_bytes(), name
    # The encoder does not promise the same bytes in every process.
    for video in ("train_0005", "val_0003"):
        one, other = (
            VideoFiles(find_videos(folder / "videos"), first_second=900).read(video, 902, 16, 4).astype(int)
            for folder in (root, tmp_path / "mini")
        )
        assert np.abs(one - other).mean() < 0.5


def test_tool_reports_a_bad_argument(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_miniset.py", "--output", str(tmp_path / "m"), "--image-size", "65"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL), run_name="__main__")
    assert stop.value.code == 2
    assert "image_size=65" in capsys.readouterr().err
