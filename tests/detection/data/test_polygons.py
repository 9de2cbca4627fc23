from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from hiera_det.coco.polygons import clip_polygon, rasterize
from hiera_det.detection.data.polygons import Polygons

TRIANGLE = np.array([[0.0, 0.0], [8.0, 0.0], [8.0, 4.0]])
QUAD = np.array([[1.5, 2.0], [3.0, 2.0], [3.0, 9.0], [1.0, 9.0]])


@pytest.fixture
def polygons():
    return Polygons.from_lists([[TRIANGLE], [], [QUAD, TRIANGLE + 1]], (10, 20))


def _area(polygon):
    x, y = polygon.T
    return abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2


def test_lists_come_back(polygons):
    found = polygons.to_lists()
    assert [len(instance) for instance in found] == [1, 0, 2]
    np.testing.assert_array_equal(found[2][0], QUAD)
    np.testing.assert_array_equal(found[2][1], TRIANGLE + 1)
    assert Polygons.from_lists([], (3, 4)).to_lists() == []


def test_flips_keep_continuous_coordinates(polygons):
    # W - x, not W - 1 - x: a vertex on the left border goes to the right border.
    np.testing.assert_array_equal(F.horizontal_flip(polygons).to_lists()[0][0], [[20, 0], [12, 0], [12, 4]])
    np.testing.assert_array_equal(F.vertical_flip(polygons).to_lists()[0][0], [[0, 10], [8, 10], [8, 6]])


def test_flipped_polygon_fills_the_flipped_pixels(polygons):
    before = rasterize([QUAD + 0.25], 10, 20)
    after = F.horizontal_flip(Polygons.from_lists([[QUAD + 0.25]], (10, 20))).to_lists()[0]
    np.testing.assert_array_equal(rasterize(after, 10, 20), before[:, ::-1])


def test_resize(polygons):
    resized = F.resize(polygons, [5, 60])
    assert resized.canvas_size == (5, 60)
    np.testing.assert_allclose(resized.to_lists()[0][0], [[0, 0], [24, 0], [24, 2]])


def test_crop_moves_cuts_and_drops(polygons):
    cropped = F.crop(polygons, top=1, left=2, height=6, width=4)
    assert cropped.canvas_size == (6, 4)
    first, second, third = cropped.to_lists()
    assert second == []
    np.testing.assert_allclose(sorted(first[0].tolist()), [[0, 0], [4, 0], [4, 2]])  # below y = (x + 2) / 2 - 1
    assert [len(p) for p in third] == [4, 4]
    assert F.crop(polygons, top=9, left=15, height=1, width=5).to_lists() == [[], [], []]


def test_clipping_cuts_a_u_into_two():
    u = np.array([[0, 0], [2, 0], [2, 6], [4, 6], [4, 0], [6, 0], [6, 8], [0, 8]], dtype=float)
    above = clip_polygon(u, 4, 10)  # the window ends above the bridge of the U
    assert sorted(sorted(p.tolist()) for p in above) == [
        [[0, 0], [0, 4], [2, 0], [2, 4]],
        [[4, 0], [4, 4], [6, 0], [6, 4]],
    ]
    (whole,) = clip_polygon(u, 10, 10)
    np.testing.assert_array_equal(whole, u)


def test_clipping_leaves_no_spike_in_a_corner_outside_the_polygon():
    # This polygon goes round the window's corner (0, 0) without covering it.
    angle = np.array(
        [[-3, 3], [-3, -3], [3, -3], [3, 1], [2, 1], [2, -2], [-2, -2], [-2, 2], [1, 2], [1, 3]], dtype=float
    )
    pieces = clip_polygon(angle, 10, 10)
    assert sum(_area(p) for p in pieces) == pytest.approx(2.0)
    assert min(p.sum(axis=1).min() for p in pieces) >= 2.0
    assert len(pieces) == 2


def test_clipping_keeps_the_region():
    # A polygon clipped to a window fills the same pixels as the whole polygon seen through the window.
    rng = np.random.default_rng(0)
    differing = []
    for _ in range(200):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        star = 20 + rng.uniform(5, 30, (9, 1)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        whole = rasterize([star + 20], 90, 90)[20:50, 20:55]
        pieces = clip_polygon(star, 30, 35)
        differing.append(np.abs(rasterize(pieces, 30, 35).astype(int) - whole).sum())
        for piece in pieces:
            assert piece.min() >= 0
            assert (piece.max(axis=0) <= [35, 30]).all()
    assert np.mean(differing) < 2  # of about 600 pixels: rounding at new vertices
    assert max(differing) <= 8


def test_rasterize_unites_polygons_and_knows_none():
    square = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
    mask = rasterize([square, square + 2], 8, 8)
    assert mask.dtype == np.uint8
    assert mask.sum() == 16 + 16 - 4
    assert rasterize([], 3, 5).tolist() == [[0] * 5] * 3


def test_polygons_are_not_taken_for_pixels():
    polygons = Polygons.from_lists([[QUAD]], (10, 20))
    assert polygons.dtype == torch.float64
    with pytest.raises(TypeError):
        F.gaussian_blur(polygons, [3, 3])
