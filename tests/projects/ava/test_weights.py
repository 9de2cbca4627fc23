"""An action detector takes image weights, clips of another length, and what a run wrote, by the one load_weights."""

from __future__ import annotations

import torch

from hiera_det import HieraBackbone, build_hiera, load_weights
from hiera_det.projects.ava.config import defaults
from hiera_det.projects.ava.model import build_model

SMALL = {"embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1)}


def detector(*overrides):
    cfg = defaults()
    hiera = ["MODEL.HIERA.NAME", "hiera_base_16x224", "MODEL.HIERA.EMBED_DIM", 8, "MODEL.HIERA.NUM_HEADS", 1]
    cfg.merge_from_list([*hiera, "MODEL.HIERA.STAGES", [1, 1, 1, 1], "MODEL.HIERA.DROP_PATH_RATE", 0.0, *overrides])
    return build_model(cfg, 5).eval()


def saved(model, path, key) -> str:
    torch.save({key: model.state_dict()}, path)
    return str(path)


def test_image_weights_of_a_still_clip(tmp_path, redraw, relative_error):
    image = build_hiera("hiera_tiny_224", **SMALL).eval()
    redraw(image)
    model = detector()
    report = load_weights(model, saved(image, tmp_path / "image.pth", "model_state"))
    backbone = model.backbone
    backbone.out_norm = False  # of the maps before their norm
    assert {"backbone." + key for key in backbone.state_dict() if "norm_res" not in key} == set(report.loaded)
    assert report.resized["patch_embed.proj.weight"].startswith("inflated")
    plain = HieraBackbone("hiera_tiny_224", ["res5"], **SMALL, layout=backbone.layout, pos_embed="resize").eval()
    load_weights(plain, str(tmp_path / "image.pth"))
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = plain(x)["res5"]
        clip = backbone(x[:, :, None].expand(-1, -1, 4, -1, -1))["res5"]
    assert all(relative_error(frame, expected) < 1e-5 for frame in clip.unbind(2))


def test_clips_of_another_length(tmp_path, redraw, relative_error):
    """The embedding is kept, and interpolated as the model runs: 32 frames have 16 steps, 16 have 8."""
    video = build_hiera("hiera_base_16x224", **SMALL, input_size=(32, 224, 224)).eval()
    redraw(video)
    model = detector("INPUT.NUM_FRAMES", 32)
    report = load_weights(model, saved(video, tmp_path / "video.pth", "model_state"))
    assert report.resized["pos_embed_temporal"] == "linear from 16 to 8 steps"
    same = build_hiera("hiera_base_16x224", **SMALL)
    assert load_weights(model, saved(same, tmp_path / "same.pth", "model_state")).resized.keys() <= {
        "pos_embed_spatial",
        "pos_embed_window",
    }
    assert torch.equal(model.backbone.pos_embed_temporal, same.pos_embed_temporal)
    assert model.backbone(torch.zeros(1, 3, 32, 64, 64))["res5"].shape[2] == 16


def test_what_a_run_wrote(tmp_path, redraw):
    trained, model, backbone = detector(), detector(), HieraBackbone("hiera_base_16x224", **SMALL, global_blocks=())
    redraw(trained)
    path = saved(trained, tmp_path / "model_final.pth", "model")
    assert sorted(load_weights(model, path).loaded) == sorted(trained.state_dict())
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in model.state_dict().items())
    report = load_weights(backbone, path)
    assert report.file_format == "detectron2" and "other parts of the model" in report.dropped
    assert torch.equal(backbone.blocks[2].mlp.fc1.weight, trained.backbone.blocks[2].mlp.fc1.weight)
