"""Histograms of oriented gradients, against loops in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from hiera_det.hiera.hog import BINS, CELL, hog
from hiera_det.hiera.targets import labels_of, values_per_token

KX = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], dtype=np.float64)
KY = KX.T


def reference(image: np.ndarray) -> np.ndarray:
    """Of one channel (H, W): (9, H / 8, W / 8)."""
    height, width = image.shape
    padded = np.pad(image.astype(np.float64), 1, mode="reflect")
    cells = np.zeros((9, height // 8, width // 8))
    for y in range(height):
        for x in range(width):
            window = padded[y : y + 3, x : x + 3]
            gx, gy = (window * KX).sum(), (window * KY).sum()
            bin_ = math.floor(math.atan2(gx, gy) / math.pi * 9) % 9
            cells[bin_, y // 8, x // 8] += math.hypot(gx, gy)
    for y in range(height // 8):
        for x in range(width // 8):
            norm = math.sqrt((cells[:, y, x] ** 2).sum())
            if norm > 0:
                cells[:, y, x] /= norm
    return cells


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_loops(channels):
    x = images(2, channels, 16, 32)
    got = hog(x)
    expected = np.stack([[reference(channel) for channel in image] for image in x.numpy()])
    assert got.shape == (2, channels, 9, 2, 4) and got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)
    assert (BINS, CELL) == (9, 8)


def test_every_cell_has_the_norm_1_in_each_channel_whatever_the_contrast():
    x = images(1, 3, 24, 16)
    got = hog(x * torch.tensor([1e-3, 1.0, 1e3]).view(1, 3, 1, 1) + 5.0)
    torch.testing.assert_close(got.square().sum(2), torch.ones(1, 3, 3, 2))
    torch.testing.assert_close(got[:, 1:], hog(x)[:, 1:], rtol=1e-3, atol=1e-3)


def test_a_flat_image_has_zeros():
    """At its border too: it is reflected."""
    assert not hog(torch.full((1, 3, 16, 16), 0.7)).any()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("along", "expected"), [("columns", 4), ("rows", 0)])
def test_an_edge_fills_one_bin(sign, along, expected):
    """A vertical edge has a gradient along columns: 90 degrees, whatever its sign; a horizontal one 0."""
    x = torch.zeros(1, 1, 16, 16)
    x[..., 4:] = sign  # the edge is in the cells of the first column
    if along == "rows":
        x = x.transpose(2, 3)
    got = hog(x)
    found = got[0, 0].nonzero().tolist()
    cells = [[expected, 0, 0], [expected, 1, 0]] if along == "columns" else [[expected, 0, 0], [expected, 0, 1]]
    assert found == cells
    assert all(got[0, 0][tuple(place)] == 1 for place in found)


@pytest.mark.parametrize(
    ("angle", "expected"), [(10, 0), (30, 1), (50, 2), (70, 3), (110, 5), (130, 6), (150, 7), (170, 8)]
)
def test_bins_are_of_20_degrees(angle, expected):
    """Of the ramp whose brightness grows in that direction, as atan2(gx, gy) has it."""
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    direction = math.radians(angle)
    ramp = columns * math.sin(direction) + rows * math.cos(direction)
    for brightness in ramp, -ramp:
        histogram = hog(brightness[None, None])[0, 0, :, 1, 1]  # away from the border
        assert histogram.nonzero().flatten().tolist() == [expected]


@pytest.mark.parametrize("clip", [False, True])
def test_the_order_of_values_in_a_label(clip):
    """Channel, bin, row and column of the cell; of a clip those of the first frame that the token stands for."""
    x = images(2, 3, 4, 32, 48) if clip else images(2, 3, 32, 48)
    labels = labels_of(x, "hog", 16, 2) if clip else labels_of(x, "hog", 16)
    assert labels.shape == (2, 2 * 6 if clip else 6, 108) and values_per_token("hog", 16, 3) == 108
    step, row, column = 1 if clip else 0, 1, 2
    frame = x[1, :, 2] if clip else x[1]
    label = labels[1, step * 6 + row * 3 + column].view(3, 9, 2, 2)
    for channel in range(3):
        expected = reference(frame[channel].numpy())[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        np.testing.assert_allclose(label[channel].numpy(), expected, atol=1e-5)


def test_tokens_of_other_sizes():
    assert values_per_token("hog", 8, 3) == 27 and values_per_token("hog", 32, 1) == 144
    assert values_per_token("pixel", 16, 3) == 768
    labels = labels_of(images(1, 3, 32, 32), "hog", 8)
    assert labels.shape == (1, 16, 27)
    with pytest.raises(ValueError, match="target='hog' has cells of 8 pixels, which do not tile tokens of 4 x 4"):
        values_per_token("hog", 4, 3)


@pytest.mark.parametrize("target", ["pixel", "hog"])
def test_labels_are_in_float32(target):
    """Also of images in half precision, and where the model runs in it."""
    x = images(1, 3, 32, 32)
    expected = labels_of(x, target, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = labels_of(x, target, 16)
    assert got.dtype == torch.float32 and torch.equal(got, expected)
    half = x.bfloat16()
    got = labels_of(half, target, 16)
    assert got.dtype == torch.float32 and torch.equal(got, labels_of(half.float(), target, 16))
