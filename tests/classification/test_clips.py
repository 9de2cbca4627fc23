from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hiera_det.classification.clips import ClipProcessor, read_center_clip


@pytest.fixture
def clip() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, 80, 80, 3), np.uint8)


def test_clip_processor_is_the_original_s(clip):
    """Its examples/inference.ipynb, with 0.225 in place of 0.255 as the third standard deviation."""
    theirs = torch.from_numpy(clip)[None].float() / 255
    theirs = F.interpolate(theirs.permute(0, 4, 1, 2, 3).contiguous(), size=(16, 64, 64), mode="trilinear")
    torch.testing.assert_close(ClipProcessor(64)(clip), ((theirs - 0.45) / 0.225)[0], rtol=1e-5, atol=1e-5)


def test_the_centre_of_a_wide_clip(clip):
    wide = np.concatenate([np.zeros_like(clip[:, :, :40]), clip, np.full_like(clip[:, :, :40], 255)], axis=2)
    got = ClipProcessor(80)(wide)
    assert torch.equal(got, ClipProcessor(80)(clip))


def video(path, levels: list[int], rate: float) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), rate, (32, 32))
    for level in levels:
        writer.write(np.full((32, 32, 3), level, np.uint8))
    writer.release()


def test_the_clip_around_the_middle(tmp_path):
    """Frames 4 / 30 s apart: every 4th at 30 frames per second, every 2nd at 15."""
    pytest.importorskip("av")
    video(tmp_path / "a.avi", list(range(120)), 30)
    levels = read_center_clip(tmp_path / "a.avi", 16)[:, 0, 0, 0].astype(int)
    assert np.abs(levels - np.arange(28, 92, 4)).max() <= 1
    video(tmp_path / "b.avi", list(range(60)), 15)
    levels = read_center_clip(tmp_path / "b.avi", 8)[:, 0, 0, 0].astype(int)
    assert np.abs(levels - np.arange(22, 38, 2)).max() <= 1


def test_a_short_video(tmp_path):
    pytest.importorskip("av")
    video(tmp_path / "a.avi", list(range(0, 200, 20)), 30)
    levels = read_center_clip(tmp_path / "a.avi", 8)[:, 0, 0, 0].astype(int)
    assert levels[0] <= 1 and levels[-1] >= 179
    assert (np.diff(levels) >= 0).all()


def test_a_broken_video(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"a\.mp4 cannot be opened"):
        read_center_clip(tmp_path / "a.mp4", 16)
