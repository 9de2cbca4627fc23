from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms.v2 import functional as F

from hiera_det.data.transforms import build_test_transform
from hiera_det.features.config import get_cfg
from hiera_det.features.preprocess import Preprocess

NO_BOXES = torch.zeros(0, 4)


def preprocess(*options) -> Preprocess:
    cfg = get_cfg()
    cfg.merge_from_list(list(options))
    return Preprocess(cfg)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)


def test_native_size_is_the_image_itself(picture):
    pixels, boxes = preprocess("INPUT.RESIZE", "none")(picture, torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert np.array_equal(pixels.numpy(), picture.transpose(2, 0, 1))
    assert boxes.tolist() == [[1, 2, 3, 4]]
    flipped, _ = preprocess("INPUT.RESIZE", "none", "INPUT.FORMAT", "BGR")(picture, NO_BOXES)
    assert torch.equal(flipped, pixels.flip(0))


def test_crop_is_how_the_original_evaluates_its_classifiers(picture):
    """Its README: Resize(int((256 / 224) * 224), bicubic), CenterCrop(224), by torchvision on a PIL image."""
    theirs = transforms.Compose(
        [transforms.Resize(256, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224)]
    )(Image.fromarray(picture))
    ours, _ = preprocess("INPUT.RESIZE", "crop")(picture, NO_BOXES)
    assert np.array_equal(ours.numpy(), np.asarray(theirs).transpose(2, 0, 1))


def test_shortest_edge_is_how_detectors_see_it(picture):
    sizes = ["INPUT.MIN_SIZE_TEST", 40, "INPUT.MAX_SIZE_TEST", 50]
    cfg = get_cfg()
    cfg.merge_from_list(sizes)
    theirs, _ = build_test_transform(cfg)(Image.fromarray(picture), {})
    ours, boxes = preprocess("INPUT.RESIZE", "shortest_edge", *sizes)(picture, torch.tensor([[0.0, 0.0, 90.0, 60.0]]))
    assert torch.equal(ours, F.pil_to_tensor(theirs)) and ours.shape == (3, 33, 50)
    assert boxes[0].tolist() == pytest.approx([0, 0, 50, 33])


@pytest.mark.parametrize(
    ("size", "shortest_edge", "expected"),
    [
        ((480, 853), (224, 1333), (224, 398)),  # SlowFast: floor(853 / 480 * 224) of 398.07
        ((853, 480), (224, 1333), (398, 224)),
        ((60, 101), (40, 1000), (40, 67)),  # 67.33
        ((60, 100), (40, 1000), (40, 66)),  # 66.67: detectron2 has 67
        ((60, 90), (40, 50), (33, 50)),
        ((60, 91), (40, 50), (32, 50)),  # 32.97
        ((2, 900), (40, 100), (1, 100)),
    ],
)
def test_the_long_side_of_clips_is_rounded_down(size, shortest_edge, expected):
    sides = ["INPUT.MIN_SIZE_TEST", shortest_edge[0], "INPUT.MAX_SIZE_TEST", shortest_edge[1]]
    clip, _ = preprocess("INPUT.RESIZE", "shortest_edge", *sides)(np.zeros((1, *size, 3), np.uint8), NO_BOXES)
    assert clip.shape == (3, 1, *expected)


@pytest.mark.parametrize("mode", ["crop", "squash", "shortest_edge"])
def test_boxes_follow(mode):
    """A bright rectangle lies where its box does, in images and in clips."""
    picture = np.zeros((120, 80, 3), np.uint8)
    picture[40:80, 24:56] = 255
    box = torch.tensor([[24.0, 40.0, 56.0, 80.0]])
    transform = preprocess(
        "INPUT.RESIZE", mode, "INPUT.SIZE", 64, "INPUT.MIN_SIZE_TEST", 50, "INPUT.MAX_SIZE_TEST", 1000
    )
    image, moved = transform(picture, box)
    clip, of_clip = transform(np.stack([picture] * 3), box)
    assert clip.shape == (3, 3, *image.shape[1:]) and torch.equal(moved, of_clip)
    assert (clip.float() - image[:, None].float()).abs().max() <= 10  # PIL and torchvision round at other places
    ys, xs = (image[0] > 127).nonzero().T
    bright = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    assert (moved[0] - bright).abs().max() <= 1


def test_what_is_refused(picture):
    with pytest.raises(ValueError, match=r"INPUT\.RESIZE is 'zoom'; expected one of none, crop, squash, shortest_edge"):
        preprocess("INPUT.RESIZE", "zoom")
    with pytest.raises(ValueError, match="expected RGB or BGR"):
        preprocess("INPUT.FORMAT", "YUV")
    with pytest.raises(ValueError, match="at least 1"):
        preprocess("INPUT.SIZE", 0)
    with pytest.raises(ValueError, match="box 1 lies outside the centre crop"):
        preprocess("INPUT.RESIZE", "crop")(picture, torch.tensor([[30.0, 10.0, 60.0, 50.0], [0.0, 0.0, 4.0, 60.0]]))
