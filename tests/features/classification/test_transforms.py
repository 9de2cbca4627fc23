from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision import transforms
from transformers import BitImageProcessor
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

from hiera_det.features.classification.transforms import clip_transform, image_transform, read_transform

PUBLISHED = {  # preprocessor_config.json of facebook/hiera-tiny-224-in1k-hf
    "size": {"shortest_edge": 256},
    "crop_size": {"height": 224, "width": 224},
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
SETTINGS = [
    PUBLISHED,
    {},
    {"size": {"height": 50, "width": 70}, "crop_size": {"height": 33, "width": 40}},
    {"size": {"shortest_edge": 47}, "crop_size": {"height": 40, "width": 40}, "resample": 2},
    {"do_resize": False, "crop_size": {"height": 71, "width": 90}},  # larger than the photo
    {"do_resize": False, "crop_size": {"height": 71, "width": 40}},
    {"do_center_crop": False, "do_normalize": False},
    {"do_rescale": False, "image_mean": [120.0, 110.0, 100.0], "image_std": [60.0, 50.0, 40.0]},
    {"rescale_factor": 1 / 127.5, "resample": 1},
]


@pytest.mark.parametrize("side", [224, 64, 193])
def test_images_as_the_original(photo, side):
    """Its examples/inference.ipynb, by torchvision on a PIL image."""
    theirs = transforms.Compose(
        [
            transforms.Resize(int((256 / 224) * side), transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(side),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    for pixels in (photo, photo.swapaxes(0, 1)):
        torch.testing.assert_close(image_transform(side)(pixels), theirs(Image.fromarray(pixels)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: ",".join(settings))
def test_processor_of_transformers(tmp_path, photo, settings):
    """The same values, to the last bit but one, as its class on PIL."""
    theirs = BitImageProcessorPil(**settings)
    theirs.save_pretrained(tmp_path)
    ours = read_transform(tmp_path / "preprocessor_config.json")
    for pixels in (photo, np.ascontiguousarray(photo.swapaxes(0, 1))):
        expected = theirs(Image.fromarray(pixels), return_tensors="pt")["pixel_values"][0]
        torch.testing.assert_close(ours(pixels), expected, rtol=1e-6, atol=1e-6)


def test_processor_of_transformers_on_torchvision(tmp_path, photo):
    """Its usual class resizes by torchvision, whose values differ by 2 of 255 at most, and seldom."""
    theirs = BitImageProcessor(**{**PUBLISHED, "do_normalize": False, "do_rescale": False})
    theirs.save_pretrained(tmp_path)
    expected = theirs(Image.fromarray(photo), return_tensors="pt")["pixel_values"][0]
    apart = (read_transform(tmp_path / "preprocessor_config.json")(photo) - expected).abs()
    assert apart.max() <= 2
    assert apart.mean() < 0.02


def test_what_a_file_does_not_say(tmp_path, photo):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({"image_processor_type": "BitImageProcessor"}))
    expected = BitImageProcessorPil()(Image.fromarray(photo), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(read_transform(path)(photo), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_processor_type": "SegformerImageProcessor"}, "the processor is 'SegformerImageProcessor'; expected"),
        ({}, "the processor is None"),
        ([1], "holds a list, expected an object"),
        ({"image_processor_type": "BitImageProcessor", "image_mean": 0.5}, "image_mean is 0.5; expected 3 finite"),
        ({"image_processor_type": "BitImageProcessor", "image_std": ["1", 1, 1]}, "image_std is .*; expected 3 finite"),
        ({"image_processor_type": "BitImageProcessor", "rescale_factor": "1"}, "rescale_factor is '1'; expected"),
        ({"image_processor_type": "BitImageProcessor", "size": 10**9}, "size is 1000000000; expected"),
        ({"image_processor_type": "BitImageProcessor", "rescale_factor": 10**400}, "an integer of 1329 bits"),
        ({"image_processor_type": "BitImageProcessor", "size": {"longest_edge": 3}}, "size is {'longest_edge': 3}"),
        ({"image_processor_type": "BitImageProcessor", "resample": 9}, "resample is 9; expected one of"),
        ({"image_processor_type": "BitImageProcessor", "resample": [3]}, "resample is .3.; expected one of"),
        ({"image_processor_type": "BitImageProcessor", "size": 0}, "size is 0; expected"),
        ({"image_processor_type": "BitImageProcessor", "crop_size": 0}, "crop_size is 0; expected"),
        (
            {"image_processor_type": "BitImageProcessor", "crop_size": {"height": 3, "width": 0}},
            "crop_size is {'height': 3, 'width': 0}; expected",
        ),
        (
            {"image_processor_type": "BitImageProcessor", "image_std": [1, 0, 1]},
            r"image_std is .*; expected 3 finite numbers above 0",
        ),
        (
            {"image_processor_type": "BitImageProcessor", "image_mean": [1, 0, float("nan")]},
            "the number nan, expected finite",
        ),
        ({"image_processor_type": "BitImageProcessor", "crop_size": {"height": 3}}, "crop_size is {'height': 3}"),
        ({"image_processor_type": "BitImageProcessor", "image_mean": [0.5]}, "image_mean is .0.5.; expected 3 finite"),
        ({"image_processor_type": "BitImageProcessor", "rescale_factor": 0}, "rescale_factor is 0; expected"),
    ],
)
def test_settings_that_are_refused(tmp_path, settings, message):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=rf"preprocessor_config\.json:? .*{message}"):
        read_transform(path)


def test_damaged_settings(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"preprocessor_config\.json: not a JSON file \(Expecting"):
        read_transform(tmp_path / "preprocessor_config.json")


@pytest.fixture
def clip() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, 80, 80, 3), np.uint8)


def test_clips_as_the_original(clip):
    """Its examples/inference.ipynb, with 0.225 in place of 0.255 as the third standard deviation."""
    theirs = torch.from_numpy(clip)[None].float() / 255
    theirs = F.interpolate(theirs.permute(0, 4, 1, 2, 3).contiguous(), size=(16, 64, 64), mode="trilinear")
    torch.testing.assert_close(clip_transform(64)(clip), ((theirs - 0.45) / 0.225)[0], rtol=1e-5, atol=1e-5)


def test_the_centre_of_a_wide_clip(clip):
    wide = np.concatenate([np.zeros_like(clip[:, :, :40]), clip, np.full_like(clip[:, :, :40], 255)], axis=2)
    assert torch.equal(clip_transform(80)(wide), clip_transform(80)(clip))
