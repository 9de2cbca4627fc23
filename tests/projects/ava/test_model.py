"""The action head: scale of RoIs, stages, frozen backbones, the paper's counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hiera_det.config import load_config
from hiera_det.projects.ava.config import defaults
from hiera_det.projects.ava.model import ActionDetector, build_model


class Pooled(nn.Module):
    """In place of a backbone: maps of the mean brightness, at given strides."""

    def __init__(self, *strides: int) -> None:
        super().__init__()
        self.strides = {f"res{s.bit_length()}": s for s in strides}
        self.channels = dict.fromkeys(self.strides, 1)
        self.out_features = tuple(self.strides)

    def forward(self, x):
        bright = x.mean(dim=1, keepdim=True)  # (B, 1, T, H, W)
        return {name: nn.functional.avg_pool3d(bright, (1, s, s)) for name, s in self.strides.items()}


def small_cfg(*overrides):
    cfg = defaults()
    hiera = ["MODEL.HIERA.NAME", "hiera_base_16x224", "MODEL.HIERA.EMBED_DIM", 8, "MODEL.HIERA.NUM_HEADS", 1]
    cfg.merge_from_list([*hiera, "MODEL.HIERA.STAGES", [1, 1, 1, 1], "MODEL.HIERA.DROP_PATH_RATE", 0.0, *overrides])
    return cfg


@torch.no_grad()
@pytest.mark.parametrize("stride", [16, 32])
def test_a_bright_square_lights_the_right_box(stride):
    model = ActionDetector(Pooled(stride), 1, mean=[0.0] * 3, std=[1.0] * 3, dropout=0.0).eval()
    nn.init.ones_(model.head.proj.weight)
    clips = torch.zeros(2, 3, 4, 224, 224)
    clips[1, :, :, 160:, 160:] = 100  # the lower right corner of the second clip
    corners = torch.tensor([[0, 0, 64, 64], [160, 0, 224, 64], [0, 160, 64, 224], [160, 160, 224, 224.0]])
    found = model(clips, [corners, corners]).view(2, 4)
    assert found[1, 3] == pytest.approx(100)
    found[1, 3] = 0
    assert found.abs().max() < 1e-4
    # A wrong scale would still light it for a box over everything.
    half = model(clips, [corners[:0], torch.tensor([[0, 0, 150, 150], [150, 150, 224, 224.0]])]).flatten()
    assert half[0] == pytest.approx(0, abs=1e-4) and half[1] == pytest.approx(100)


def test_the_maximum_over_space_of_the_mean_over_time():
    exact = {"resolution": 4, "sampling_ratio": 1}  # a bin for each cell of the map
    model = ActionDetector(Pooled(16), 1, mean=[0.0] * 3, std=[1.0] * 3, dropout=0.0, **exact).eval()
    nn.init.ones_(model.head.proj.weight)
    clips = torch.zeros(1, 3, 4, 64, 64)
    clips[:, :, :2, 16:32, 16:32] = 80  # half of the frames
    clips[:, :, :, 32:48, 32:48] = 30
    assert model(clips, [torch.tensor([[0, 0, 64, 64.0]])]).item() == pytest.approx(40)


@pytest.mark.parametrize("features", [["res5"], ["res4"], ["res3", "res4", "res5"]])
@pytest.mark.parametrize("size", [(64, 64), (50, 90)])
def test_shapes_and_gradients(features, size):
    torch.manual_seed(0)
    model = build_model(small_cfg("MODEL.ROI_HEAD.IN_FEATURES", features, "INPUT.NUM_FRAMES", 8), 5)
    boxes = [torch.tensor([[0, 0, 30, 40], [10, 10, 45, 45.0]]), torch.zeros(0, 4), torch.tensor([[5, 5, 40, 49.0]])]
    logits = model(torch.rand(3, 3, 8, *size) * 255, boxes)
    assert logits.shape == (3, 5)
    logits.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []  # DDP refuses unused ones


def test_persons_of_other_clips_do_not_matter():
    torch.manual_seed(0)
    model = build_model(small_cfg(), 5).eval()
    clips = torch.rand(2, 3, 16, 64, 64) * 255
    boxes = [torch.tensor([[0, 0, 30, 40.0]]), torch.tensor([[10, 10, 45, 45], [0, 0, 64, 64.0]])]
    with torch.no_grad():
        together = model(clips, boxes)
        alone = torch.cat([model(clips[i : i + 1], [boxes[i]]) for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_time_is_used():
    torch.manual_seed(0)
    model = build_model(small_cfg(), 5).eval()
    clip, box = torch.rand(1, 3, 16, 64, 64) * 255, [torch.tensor([[0, 0, 64, 64.0]])]
    with torch.no_grad():
        assert (model(clip, box) - model(clip.flip(2), box)).abs().max() > 1e-5


def test_a_frozen_backbone():
    model = build_model(small_cfg("MODEL.BACKBONE.FREEZE_AT", 5), 5)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"head.proj.weight", "head.proj.bias", "backbone.norm_res5.weight", "backbone.norm_res5.bias"}


@pytest.mark.parametrize(("name", "millions", "giga"), [("hiera_l_16x4", 213, 413), ("hiera_h_16x4", 672, 1158)])
def test_the_papers_parameters_and_flops(request, name, millions, giga):
    """Multiply-adds of one clip of 16 x 224 x 224, attention included."""
    cfg = load_config(request.config.rootpath / "projects" / "ava" / "configs" / f"{name}.yaml", [], defaults())
    with torch.device("meta"):
        model = build_model(cfg, 80).eval()
        clip = torch.zeros(1, 3, 16, 224, 224)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.backbone(clip)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.02)
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga, rel=0.02)


def test_what_is_refused():
    with pytest.raises(ValueError, match="expected a video variant"):
        build_model(small_cfg("MODEL.HIERA.NAME", "hiera_base_224"), 5)
    with pytest.raises(ValueError, match=r"INPUT\.NUM_FRAMES is 15; expected a multiple of 2"):
        build_model(small_cfg("INPUT.NUM_FRAMES", 15), 5)
    model = build_model(small_cfg(), 5)
    with pytest.raises(ValueError, match="2 clips with 1 lists of boxes"):
        model(torch.zeros(2, 3, 16, 64, 64), [torch.zeros(1, 4)])
