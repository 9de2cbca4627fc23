"""Normalisation and padding against detectron2's preprocess_image."""

from __future__ import annotations

import pytest
import torch

from hiera_det.detection.model.batching import Batching, build_batching


def test_two_sizes(tiny, recorded):
    batch = build_batching(tiny.config({}), 32)(tiny.images([(40, 50), (33, 70)], 14))
    assert batch.tensors.shape == (2, 3, 64, 96)
    assert batch.image_sizes == [(40, 50), (33, 70)]
    torch.testing.assert_close(batch.tensors, recorded["batch"])


def test_zeros_to_the_right_and_below():
    batch = Batching([10.0] * 3, [2.0] * 3, 0, 32)([torch.full((3, 20, 40), 14.0)])
    assert batch.tensors.shape == (1, 3, 32, 64)
    assert (batch.tensors[..., :20, :40] == 2).all()
    assert not batch.tensors[..., 20:, :].any()
    assert not batch.tensors[..., 40:].any()


@pytest.mark.parametrize("count", [1, 2])
def test_square(count):
    batch = Batching([0.0] * 3, [1.0] * 3, 96, 32)([torch.ones(3, 20, 40)] * count)
    assert batch.tensors.shape == (count, 3, 96, 96)


@pytest.mark.parametrize("count", [1, 2])
def test_larger_than_the_square_is_an_error_not_a_cut(count):
    with pytest.raises(ValueError, match=r"100 x 40.*SQUARE_PAD 96"):
        Batching([0.0] * 3, [1.0] * 3, 96, 32)([torch.ones(3, 100, 40)] * count)


@pytest.mark.parametrize("images", [[], [torch.ones(20, 40)], [torch.ones(4, 20, 40)]])
def test_what_is_no_batch_of_images(images):
    with pytest.raises(ValueError, match="expected"):
        Batching([0.0] * 3, [1.0] * 3, 0, 32)(images)
