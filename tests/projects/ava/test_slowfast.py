"""The model in SlowFast's registry, where SlowFast is installed."""

from __future__ import annotations

import pytest
import torch

reason = "needs SlowFast from source, and pytorchvideo from source, which it imports"
build = pytest.importorskip("slowfast.models.build", reason=reason, exc_type=ImportError)
get_cfg = pytest.importorskip("slowfast.config.defaults", reason=reason, exc_type=ImportError).get_cfg


@pytest.fixture
def cfg():
    import hiera_det.projects.ava.slowfast  # noqa: F401

    cfg = get_cfg()
    cfg.NUM_GPUS = 0
    cfg.merge_from_list(["MODEL.MODEL_NAME", "HieraAVA", "MODEL.ARCH", "hiera_base_16x224", "DETECTION.ENABLE", True])
    cfg.merge_from_list(["MODEL.NUM_CLASSES", 80, "MODEL.HEAD_ACT", "sigmoid", "MVIT.DROPPATH_RATE", 0.2])
    return cfg


def test_slowfast_builds_and_calls_it(cfg):
    torch.manual_seed(0)
    model = build.build_model(cfg).eval()
    boxes = torch.tensor([[0, 5, 5, 60, 60], [1, 0, 0, 64, 64.0]])
    with torch.no_grad():
        found = model([torch.randn(2, 3, 16, 64, 64)], boxes)
    assert found.shape == (2, 80) and found.min() > 0 and found.max() < 1
    assert model.backbone.blocks[-1].drop_path is not None


def test_what_is_refused(cfg):
    for key, value, message in (
        ("MODEL.ARCH", "hiera_base_224", "expected a video variant"),
        ("MODEL.HEAD_ACT", "softmax", "HEAD_ACT is 'softmax'"),
        ("DETECTION.ENABLE", False, "must be True"),
    ):
        other = cfg.clone()
        other.merge_from_list([key, value])
        with pytest.raises(ValueError, match=message):
            build.build_model(other)
