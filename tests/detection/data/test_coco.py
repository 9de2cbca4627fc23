from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from hiera_det.config import get_cfg
from hiera_det.data.catalog import DatasetFiles
from hiera_det.data.images import UnreadableImageError, read_image
from hiera_det.detection.data.coco import CocoDataset
from hiera_det.detection.data.transforms import build_test_transform, build_train_transform


def _dataset(files, *, train=False, image_format="RGB", mask_format="bitmask", filter_empty=False, jitter=False):
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (20, 30, 40), 64
    if jitter:
        cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "large_scale_jitter", [0.5, 2.0]
    transform = build_train_transform(cfg) if train else build_test_transform(cfg)
    return CocoDataset(files, transform, image_format=image_format, mask_format=mask_format, filter_empty=filter_empty)


def _equal(a, b):
    return torch.equal(a[0], b[0]) and all(
        torch.equal(a[1][key], b[1][key]) if isinstance(a[1][key], torch.Tensor) else a[1][key] == b[1][key]
        for key in a[1] | b[1]
    )


def test_item(write, content):
    files = write(content)
    dataset = _dataset(files)
    assert len(dataset) == 2
    assert dataset.image_ids == [3, 7]
    assert dataset.category_ids == [5, 90]
    assert dataset.class_names == ["boat", "kite"]
    image, target = dataset[0]
    pixels = np.asarray(Image.open(files.image_root / "a.png"))
    assert image.dtype == torch.uint8
    np.testing.assert_array_equal(image.numpy(), pixels.transpose(2, 0, 1))
    assert (target["image_id"], target["height"], target["width"]) == (3, 40, 60)
    assert target["boxes"].tolist() == [[10, 10, 30, 30], [40, 30, 48, 36]]
    assert target["labels"].tolist() == [2, 1]
    assert target["masks"].sum(dim=(1, 2)).tolist()[0] == 400
    with pytest.raises(IndexError):
        dataset[2]


def test_bgr(write, content):
    files = write(content)
    assert torch.equal(_dataset(files, image_format="BGR")[0][0], _dataset(files)[0][0].flip(0))


def test_crowd_only_images_by_choice(write, content):
    files = write(content)
    _, target = _dataset(files)[1]
    assert target["image_id"] == 7
    assert target["boxes"].shape == (0, 4)
    assert _dataset(files, filter_empty=True).image_ids == [3]
    content["annotations"] = content["annotations"][2:]
    with pytest.raises(ValueError, match="none of the 2 images has an instance"):
        _dataset(write(content), filter_empty=True)


@pytest.mark.parametrize("jitter", [False, True])
def test_draw_alone_decides(write, content, jitter):
    dataset = _dataset(write(content), train=True, jitter=jitter)
    first = dataset[(0, 17)]
    torch.manual_seed(123)
    torch.rand(5)
    state = torch.get_rng_state()
    assert _equal(dataset[(0, 17)], first)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's numbers change
    assert any(not _equal(dataset[(0, draw)], first) for draw in range(10))
    assert _equal(pickle.loads(pickle.dumps(dataset))[(0, 17)], first)


def test_boxes_fit_the_masks_after_jitter(write, content):
    dataset = _dataset(write(content), train=True, jitter=True)
    for draw in range(30):
        image, target = dataset[(0, draw)]
        assert target["masks"].shape[1:] == image.shape[1:]
        for box, mask in zip(target["boxes"], target["masks"], strict=True):
            ys, xs = torch.nonzero(mask, as_tuple=True)
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_without_masks_boxes_are_not_recomputed(write, content):
    content["annotations"][0]["bbox"] = [5, 5, 30, 30]  # wider than its mask
    widest = {}
    for mask_format in ("bitmask", None):
        dataset = _dataset(write(content), train=True, jitter=True, mask_format=mask_format)
        boxes = [dataset[(0, draw)][1]["boxes"] for draw in range(10)]
        widest[mask_format] = torch.stack([b[0, 2:] - b[0, :2] for b in boxes if len(b)]).max().item()
    assert widest[None] > 1.3 * widest["bitmask"]


def _spoil(path, how):
    path.unlink()
    if how == "zero bytes":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("not a picture")
    elif how == "truncated":
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(path.with_suffix(".jpg"))
        path.write_bytes(path.with_suffix(".jpg").read_bytes()[:400])


@pytest.mark.parametrize("how", ["missing", "zero bytes", "text", "truncated"])
def test_unreadable_image(write, content, how, caplog):
    files = write(content)
    _spoil(files.image_root / "a.png", how)
    dataset = _dataset(files, train=True)
    with pytest.raises(UnreadableImageError, match=r"a\.png"):
        dataset[0]
    assert not caplog.records or "a.png" not in caplog.text
    _, target = dataset[(0, 4)]
    assert target["image_id"] == 7
    assert "a.png" in caplog.text
    assert _equal(dataset[(0, 4)], dataset[(1, 4)])


@pytest.mark.parametrize("limit", [1000, 2000])  # PIL refuses from twice as many pixels on, and warns below that
def test_image_of_more_pixels_than_pil_takes(write, content, limit, monkeypatch, caplog):
    dataset = _dataset(write(content), train=True)  # 40 x 60 and 50 x 30 pixels
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnreadableImageError, match=r"a\.png .*2400 pixels"):
            dataset[0]
        if limit == 2000:
            assert dataset[(0, 4)][1]["image_id"] == 7
            assert "a.png" in caplog.text


def test_no_image_readable_at_all(write, content):
    files = write(content)
    for name in ("a.png", "b.png"):
        (files.image_root / name).write_bytes(b"")
    with pytest.raises(UnreadableImageError, match=r"2 images in a row cannot be read.*b\.png \(0 bytes\)"):
        _dataset(files, train=True)[(0, 4)]


@pytest.mark.parametrize("key", [0, (0, 4)])
def test_size_other_than_in_the_json(write, content, key):
    files = write(content)
    Image.new("RGB", (40, 60)).save(files.image_root / "a.png")
    with pytest.raises(ValueError, match=r"a\.png has height 60 and width 40.*says 40 and 60 \(image 3\)"):
        _dataset(files, train=True)[key]


def test_exif_rotation(tmp_path):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees clockwise to show
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    turned = np.asarray(read_image(tmp_path / "turned.png"))
    assert turned.shape == (16, 8, 3)
    assert turned[:8].min() == 255
    assert turned[8:].max() == 0


def test_grey_and_palette_become_rgb(tmp_path):
    for mode in ("L", "P", "RGBA"):
        Image.new(mode, (4, 4)).save(tmp_path / "x.png")
        assert read_image(tmp_path / "x.png").mode == "RGB"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"image_format": "YUV"}, "INPUT.FORMAT is 'YUV'"), ({"mask_format": "rle"}, "INPUT.MASK_FORMAT is 'rle'")],
)
def test_wrong_options(write, content, options, message):
    with pytest.raises(ValueError, match=message):
        _dataset(write(content), **options)


def test_real_coco(shared_data):
    coco = shared_data / "coco"
    files = DatasetFiles("coco", coco / "annotations/instances_train2017.json", coco / "train2017")
    dataset = _dataset(files, train=True, jitter=True)
    assert len(dataset) == 80
    assert len(dataset.category_ids) == 80
    assert (dataset.category_ids[-1], dataset.class_names[-1]) == (90, "toothbrush")
    for index in range(0, 80, 8):
        image, target = dataset[(index, index)]
        assert image.shape[0] == 3
        assert len(target["boxes"]) == len(target["labels"]) == len(target["masks"])
