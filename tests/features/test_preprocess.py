from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms.v2 import functional as F

from hiera_det.detection.data.transforms import build_test_transform
from hiera_det.features.config import defaults
from hiera_det.features.preprocess import Preprocess
from hiera_det.inputs.items import Item
from hiera_det.inputs.reading import read_item

NO_BOXES = torch.zeros(0, 4)


def preprocess(*options) -> Preprocess:
    cfg = defaults()
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


@pytest.mark.parametrize("width", [90, 87, 86])  # 384, 371 and 366 before the crop: 371 leaves 73.5 on each side
def test_crop_is_how_the_original_evaluates_its_classifiers(width):
    """Its README: Resize(int((256 / 224) * 224), bicubic), CenterCrop(224), by torchvision on a PIL image."""
    picture = np.random.default_rng(0).integers(0, 256, (60, width, 3), np.uint8)
    theirs = transforms.Compose(
        [transforms.Resize(256, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224)]
    )(Image.fromarray(picture))
    ours, _ = preprocess("INPUT.RESIZE", "crop")(picture, NO_BOXES)
    assert np.array_equal(ours.numpy(), np.asarray(theirs).transpose(2, 0, 1))


def test_a_thin_image_is_not_blown_up():
    thin = np.zeros((4, 400, 3), np.uint8)  # 256 x 25600 before its centre is cut out
    image, _ = preprocess("INPUT.RESIZE", "crop", "INPUT.MAX_PIXELS", 6_553_600)(thin, NO_BOXES)
    assert image.shape == (3, 224, 224)
    with pytest.raises(ValueError, match="4 x 400 pixels, which crop would first make 256 x 25600, more than"):
        preprocess("INPUT.RESIZE", "crop", "INPUT.MAX_PIXELS", 6_553_599)(thin, NO_BOXES)


def test_what_does_not_fit_the_square(picture):
    for mode, side in (("none", 90), ("crop", 224), ("squash", 224), ("shortest_edge", 1200)):
        image, _ = preprocess("INPUT.RESIZE", mode, "MODEL.HIERA.SQUARE_PAD", side)(picture, NO_BOXES)
        assert max(image.shape) == side
        with pytest.raises(ValueError, match=rf"x {side} pixels, but MODEL\.HIERA\.SQUARE_PAD is {side - 1}: raise it"):
            preprocess("INPUT.RESIZE", mode, "MODEL.HIERA.SQUARE_PAD", side - 1)(picture, NO_BOXES)
    with pytest.raises(ValueError, match="SQUARE_PAD is 223"):  # no image would fit
        preprocess("INPUT.RESIZE", "crop", "MODEL.HIERA.SQUARE_PAD", 223)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6  # by a quarter
    return exif


def _palette() -> Image.Image:
    image = Image.new("P", (40, 30), 1)
    image.putpalette([9, 8, 7, 200, 100, 50])
    return image


@pytest.mark.parametrize("mode", ["none", "crop"])
@pytest.mark.parametrize(
    ("name", "image", "options", "size", "colour"),
    [
        ("a.jpg", Image.new("CMYK", (40, 30), (255, 0, 0, 0)), {}, (30, 40), (0, 255, 255)),
        ("a.png", Image.new("L", (40, 30), 70), {}, (30, 40), (70, 70, 70)),
        ("a.png", Image.fromarray(np.full((30, 40), 70 * 256, np.uint16)), {}, (30, 40), (70, 70, 70)),
        ("a.png", _palette(), {"transparency": 1}, (30, 40), (200, 100, 50)),
        ("a.jpg", Image.new("RGB", (40, 30), (200, 100, 50)), {"exif": _turned()}, (40, 30), (200, 100, 50)),
        ("a.png", Image.new("RGB", (1, 1), (200, 100, 50)), {}, (1, 1), (200, 100, 50)),
        ("a.png", Image.new("RGB", (3000, 1), (200, 100, 50)), {}, (1, 3000), (200, 100, 50)),
        ("a.png", Image.new("RGB", (1, 3000), (200, 100, 50)), {}, (3000, 1), (200, 100, 50)),
    ],
    ids=["cmyk", "grey", "grey16", "palette", "turned", "1x1", "1x3000", "3000x1"],
)
def test_odd_files(tmp_path, mode, name, image, options, size, colour):
    image.save(tmp_path / name, **options)
    pixels = read_item(Item("a", str(tmp_path / name)), max_pixels=3000)
    transform = preprocess("INPUT.RESIZE", mode)
    if mode == "crop" and max(size) == 3000:
        with pytest.raises(ValueError, match=r"more than INPUT\.MAX_PIXELS \(40000000\); choose another"):
            transform(pixels, NO_BOXES)
        return
    out, _ = transform(pixels, NO_BOXES)
    assert out.shape == (3, *(size if mode == "none" else (224, 224)))
    np.testing.assert_allclose(out.flatten(1).float().T, np.broadcast_to(colour, (out[0].numel(), 3)), atol=3)


def test_shortest_edge_is_how_detectors_see_it(picture):
    sizes = ["INPUT.MIN_SIZE_TEST", 40, "INPUT.MAX_SIZE_TEST", 50]
    cfg = defaults()
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
    with pytest.raises(ValueError, match="box 1 lies outside the centre crop"):
        preprocess("INPUT.RESIZE", "crop")(picture, torch.tensor([[30.0, 10.0, 60.0, 50.0], [0.0, 0.0, 4.0, 60.0]]))


def test_three_channels_alone():
    with pytest.raises(ValueError, match=r"MODEL\.PIXEL_MEAN has 1 values; features are taken of 3 channels"):
        preprocess("MODEL.PIXEL_MEAN", "[1.0]", "MODEL.PIXEL_STD", "[1.0]")
