from __future__ import annotations

import numpy as np
import pytest
import torch

from hiera_det.projects.ava.data.transforms import (
    BOX_EXTENSION,
    BOX_JITTER,
    TestTransform,
    TrainTransform,
    extend_boxes,
    jitter_boxes,
)

NOWHERE = np.zeros((0, 4))


def _scene(boxes, height=180, width=320, num_frames=3):
    """Black frames in which each box is filled white."""
    frames = np.zeros((num_frames, height, width, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        frames[:, round(y1 * height) : round(y2 * height), round(x1 * width) : round(x2 * width)] = 255
    return frames


def _bright_box(picture):
    ys, xs = np.nonzero(picture.numpy() > 127)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def _seeded(transform, frames, boxes, seed):
    torch.manual_seed(seed)
    return transform(frames, boxes)


@pytest.mark.parametrize("shape", [(180, 320), (320, 180), (240, 240)])
@pytest.mark.parametrize("seed", range(6))
def test_a_bright_square_keeps_its_box_in_training(shape, seed):
    boxes = np.array([[0.4, 0.35, 0.55, 0.7]])
    frames = _scene(boxes, *shape)
    frames[:, :, : shape[1] // 2] //= 2  # the left half darker: a flip shows
    clip, moved, kept = _seeded(TrainTransform((128, 160), 120), frames, boxes, seed)
    assert clip.shape == (3, 3, 120, 120)
    assert clip.dtype == torch.uint8
    assert moved.dtype == torch.float32
    assert kept.tolist() == [0]
    for time in range(3):
        bright = _bright_box(clip[1, time] * 2)
        np.testing.assert_allclose(moved[0], bright, atol=1.5)


def test_flips_happen_in_half_of_the_draws_and_can_be_turned_off():
    boxes = np.array([[0.2, 0.3, 0.4, 0.7]])
    frames = _scene([[0.0, 0.0, 0.5, 1.0]], 120, 120)  # left half white
    for flip, expected in ((True, 0.5), (False, 0.0)):
        transform = TrainTransform((120, 120), 120, flip=flip)
        outcomes = [_seeded(transform, frames, boxes, seed) for seed in range(60)]
        flipped = [bool(clip[0, 0, 60, -5] > 127) for clip, _, _ in outcomes]
        assert abs(np.mean(flipped) - expected) < 0.2 * (expected > 0) + 1e-9
        for mirrored, (_, moved, _) in zip(flipped, outcomes, strict=True):
            np.testing.assert_allclose(moved[0], [72, 36, 96, 84] if mirrored else [24, 36, 48, 84], atol=1e-4)


def test_sizes_and_places_cover_their_ranges():
    boxes = np.array([[0.45, 0.45, 0.55, 0.55]])
    transform = TrainTransform((100, 200), 100, flip=False)
    moved = torch.cat([_seeded(transform, _scene(boxes, 100, 100), boxes, seed)[1] for seed in range(200)])
    sides = ((moved[:, 2] - moved[:, 0]) * 10).round()  # length of the short side, where the box is whole
    assert sides.max() == 200 and sides[moved[:, 0] > 0].min() <= 102
    assert moved[:, :2].min(0).values.max() < 5 and moved[:, 2:].max(0).values.min() > 95  # crops at either end


def test_boxes_that_a_crop_misses_are_dropped_and_the_rest_clipped():
    # 120 x 480 pixels, crop 120 x 120: at most two of the persons are seen.
    boxes = np.array([[0.0, 0.2, 0.1, 0.8], [0.3, 0.2, 0.4, 0.8], [0.6, 0.2, 0.7, 0.8], [0.9, 0.2, 1.0, 0.8]])
    frames = _scene(boxes, 120, 480)
    seen = set()
    for seed in range(40):
        clip, moved, kept = _seeded(TrainTransform((120, 120), 120, flip=False), frames, boxes, seed)
        assert len(moved) == len(kept) < 4
        assert kept.tolist() == sorted(kept.tolist())
        assert ((moved[:, 2:] - moved[:, :2]) > 0).all()
        assert moved.min() >= 0 and moved.max() <= 120 if len(moved) else True
        bright = (clip[0, 0, 60] > 127).nonzero()[:, 0]  # a row through all persons
        assert (len(bright) > 0) == (len(kept) > 0)
        if len(bright):
            np.testing.assert_allclose([bright.min(), bright.max() + 1], [moved[0, 0], moved[-1, 2]], atol=1)
        seen.add(tuple(kept.tolist()))
    assert {(0,), (1,), (2,)} <= seen  # the labels' rows follow
    torch.manual_seed(0)
    assert {len(TrainTransform((120, 120), 120)(frames, boxes[:1])[2]) for _ in range(20)} == {0, 1}


def test_a_box_at_the_border_of_a_crop_is_dropped_not_kept_without_width():
    boxes = np.array([[0.0, 0.0, 0.25, 1.0], [0.25, 0.0, 0.75, 1.0], [0.3, 0.5, 0.3, 0.9]])
    _, moved, kept = TestTransform(100, centre_crop=100)(_scene([], 100, 200), boxes)
    assert kept.tolist() == [1]
    assert moved.tolist() == [[0, 0, 100, 100]]


def test_no_boxes():
    for transform in (TrainTransform((64, 80), 64, box_jitter=BOX_JITTER), TestTransform(64, box_extension=(0.1, 0.1))):
        _, moved, kept = transform(_scene([]), NOWHERE)
        assert moved.shape == (0, 4) and kept.shape == (0,)


@pytest.mark.parametrize(("shape", "size"), [((180, 320), (90, 160)), ((320, 181), (159, 90)), ((90, 90), (90, 90))])
def test_test_resizes_the_short_side(shape, size):
    boxes = np.array([[0.25, 0.5, 0.5, 0.75], [0.0, 0.0, 0.1, 0.2]])
    clip, moved, kept = TestTransform(90)(_scene(boxes, *shape), boxes)
    assert clip.shape == (3, 3, *size)
    assert kept.tolist() == [0, 1]
    np.testing.assert_allclose(moved, boxes * [size[1], size[0], size[1], size[0]], rtol=1e-6)


def test_the_centre_crop_follows_the_square():
    boxes = np.array([[0.4, 0.4, 0.5, 0.6]])
    clip, moved, _ = TestTransform(128, centre_crop=112)(_scene(boxes), boxes)
    assert clip.shape == (3, 3, 112, 112)
    np.testing.assert_allclose(moved[0], _bright_box(clip[0, 0]), atol=1)


def test_resizing_is_antialiased():
    frames = np.zeros((1, 128, 128, 3), np.uint8)
    frames[:, :, ::2] = 200  # columns of one pixel average out, where nearby samples would alias
    clip, _, _ = TestTransform(32)(frames, NOWHERE)
    assert abs(clip.float() - 100).max() < 12


def test_draws_come_from_torchs_cpu_generator():
    boxes = np.array([[0.3, 0.3, 0.8, 0.8]])
    frames = np.random.default_rng(0).integers(0, 255, (2, 90, 120, 3), dtype=np.uint8)
    transform = TrainTransform((80, 110), 64, box_jitter=BOX_JITTER)
    first, again, other = (_seeded(transform, frames, boxes, seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])


def test_jitter_moves_each_edge_within_its_range():
    box = torch.tensor([[0.4, 0.2, 0.6, 0.6]], dtype=torch.float64)
    torch.manual_seed(0)
    moved = jitter_boxes(box.repeat(4000, 1), BOX_JITTER)
    shift = (moved - box) / torch.tensor([0.2, 0.4, 0.2, 0.4])  # in sizes of the box
    np.testing.assert_allclose(shift.min(0).values, [-0.2, -0.1, -0.1, -0.05], atol=2e-3)
    np.testing.assert_allclose(shift.max(0).values, [0.1, 0.05, 0.2, 0.1], atol=2e-3)
    assert abs(np.corrcoef(shift.T.numpy()) - np.eye(4)).max() < 0.1  # each on its own


def test_jitter_and_extension_stay_in_the_picture():
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    assert extend_boxes(box, BOX_EXTENSION).tolist() == box.tolist()
    moved = jitter_boxes(box.repeat(100, 1), BOX_JITTER)
    assert moved.min() >= 0 and moved.max() <= 1


def test_extension_is_half_on_each_side():
    box = torch.tensor([[0.4, 0.2, 0.6, 0.6]], dtype=torch.float64)
    np.testing.assert_allclose(extend_boxes(box, BOX_EXTENSION), [[0.39, 0.19, 0.61, 0.61]])


def test_options_reach_the_boxes():
    boxes = np.array([[0.4, 0.2, 0.6, 0.6]])
    frames = _scene(boxes, 100, 100)
    _, moved, _ = TestTransform(100, box_extension=BOX_EXTENSION)(frames, boxes)
    np.testing.assert_allclose(moved, [[39, 19, 61, 61]], rtol=1e-6)
    plain = _seeded(TrainTransform((100, 100), 100, flip=False), frames, boxes, 0)[1]
    jittered = _seeded(TrainTransform((100, 100), 100, flip=False, box_jitter=BOX_JITTER), frames, boxes, 0)[1]
    assert 0.1 < (plain - jittered).abs().max() <= 4


def test_the_given_arrays_stay_as_they_are():
    boxes = np.array([[0.4, 0.2, 0.6, 0.6]])
    frames = _scene(boxes, 100, 100)
    before = boxes.copy(), frames.copy()
    for seed in range(4):
        clip, moved, _ = _seeded(TrainTransform((100, 100), 100), frames, boxes, seed)
        clip.zero_(), moved.zero_()
    np.testing.assert_array_equal(boxes, before[0])
    np.testing.assert_array_equal(frames, before[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainTransform((200, 256), 224), "crop of 224 pixels from short sides 200 to 256"),
        (lambda: TrainTransform((256, 200), 128), "short sides 256 to 200"),
        (lambda: TrainTransform(box_jitter=(0.1, 0.1)), "box jitter is .*expected 4"),
        (lambda: TestTransform(0), "short side of 0"),
        (lambda: TestTransform(224, centre_crop=256), "centre crop of 256 pixels.*224"),
        (lambda: TestTransform(box_extension=(0.1, 2.0)), "box extension is"),
    ],
)
def test_sizes_that_do_not_go_together(make, message):
    with pytest.raises(ValueError, match=message):
        make()
