"""The two backends' detectors with the same weights, where detectron2 is installed.

More sizes and batches than are recorded; with the backbone of the recordings, and with Hiera.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from hiera_det.config import load_config
from hiera_det.detection.model.detector import build_model
from hiera_det.detection.model.detectron2_names import from_detectron2, to_detectron2
from hiera_det.engine.optim import build_optimizer

pytest.importorskip(
    "detectron2",
    reason="needs detectron2: https://detectron2.readthedocs.io/en/latest/tutorials/install.html",
)
BATCHES = [[(200, 264)], [(160, 192), (64, 64), (200, 130)]]


@pytest.fixture(scope="module")
def reference(load_module):
    return load_module("record_detectron2")


@pytest.fixture
def one_layer_norm(monkeypatch):
    """detectron2's LayerNorm by the fused kernel: what else there is then agrees to the last bits.

    Its own formula differs by 1e-6, for which near-tied detections change places, and proposals, and with them the
    sample.
    """
    from detectron2.layers.batch_norm import LayerNorm

    def forward(self, x):
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)

    monkeypatch.setattr(LayerNorm, "forward", forward)


HIERA = {
    "MODEL.HIERA.EMBED_DIM": 8,
    "MODEL.HIERA.NUM_HEADS": 1,
    "MODEL.HIERA.STAGES": [1, 2, 1, 1],
    "MODEL.HIERA.GLOBAL_BLOCKS": [3],
    "MODEL.HIERA.WINDOW_SIZES": [8, 4, 8, 4],
    "MODEL.DEVICE": "cpu",
    "INPUT.MAX_SIZE_TRAIN": 320,
    "INPUT.MAX_SIZE_TEST": 320,
    "SOLVER.BASE_LR": 0.0001,
}


def build_both(tiny, reference, overrides, backbone):
    """detectron2's model and ours, with detectron2's weights, and our config."""
    if backbone == "convolutions":
        theirs, ours = reference.model(overrides), build_model(tiny.config(overrides), tiny.TinyBackbone())
    else:
        from detectron2.modeling import build_model as build_theirs

        from hiera_det.detectron2.trainer import defaults

        overrides = {**overrides, **HIERA}
        words = [str(word) for pair in {**tiny.SMALL, **overrides}.items() for word in pair]
        theirs = build_theirs(load_config(tiny.CONFIG, words, defaults()))
        theirs.load_state_dict(tiny.weights({name: tuple(v.shape) for name, v in theirs.state_dict().items()}))
        ours = build_model(tiny.config(overrides))
    ours.load_state_dict(from_detectron2(theirs.state_dict()), strict=True)
    return theirs, ours, tiny.config(overrides)


def without_key_bias(name, value):
    """The bias of the keys shifts all scores of a query alike: its gradient is 0, of which AdamW makes a step."""
    return value.chunk(3)[::2] if name.endswith("attn.qkv.bias") else [value]


def overrides_of(tiny, name):
    square = 320 if name == "other_values" else 0
    return {**tiny.MODELS[name][0], "MODEL.HIERA.SQUARE_PAD": square, "TEST.DETECTIONS_PER_IMAGE": 100}


@pytest.mark.parametrize("sizes", BATCHES, ids=lambda sizes: f"batch of {len(sizes)}")
@pytest.mark.parametrize("backbone", ["convolutions", "hiera"])
def test_same_detections(tiny, reference, one_layer_norm, backbone, name, sizes):
    theirs, ours, _ = build_both(tiny, reference, overrides_of(tiny, name), backbone)
    expected = reference.detect(theirs, sizes, 21)
    with torch.no_grad():
        found = ours.eval()(tiny.images(sizes, 21), output_sizes=tiny.output_sizes(sizes))
    for result, target in zip(found, expected, strict=True):
        assert torch.equal(result["labels"], target["labels"])
        assert (result["boxes"] - target["boxes"]).abs().max() < 1e-3
        assert (result["scores"] - target["scores"]).abs().max() < 1e-5
        assert len(target["labels"].unique()) > 2
        if "masks" in target:
            assert (result["masks"] != target["masks"]).float().mean() < 1e-5


@pytest.mark.parametrize("sizes", BATCHES, ids=lambda sizes: f"batch of {len(sizes)}")
@pytest.mark.parametrize("backbone", ["convolutions", "hiera"])
def test_same_losses_gradients_and_step(tiny, reference, one_layer_norm, backbone, name, sizes):
    theirs, ours, cfg = build_both(tiny, reference, overrides_of(tiny, name), backbone)
    mask_format = cfg.INPUT.MASK_FORMAT if cfg.MODEL.MASK_ON else None
    optimizers = [build_optimizer(cfg, model) for model in (theirs, ours)]
    expected_losses = reference.losses(theirs, sizes, 21, mask_format)
    targets = tiny.targets(sizes, 21)
    for target in targets:
        del target["polygons" if mask_format == "bitmask" else "masks"]
    torch.manual_seed(21)
    losses = ours.train()(tiny.images(sizes, 21), targets)
    assert set(losses) == set(expected_losses)
    for key, value in losses.items():
        torch.testing.assert_close(value, expected_losses[key], rtol=1e-5, atol=0)
    sum(losses.values()).backward()
    gradients = to_detectron2({key: parameter.grad for key, parameter in ours.named_parameters()})
    for key, parameter in theirs.named_parameters():
        assert (gradients[key] - parameter.grad).norm() <= 1e-3 * parameter.grad.norm(), key
    for optimizer in optimizers:
        optimizer.step()
    after = to_detectron2(ours.state_dict())
    for key, value in theirs.state_dict().items():
        for found_part, part in zip(without_key_bias(key, after[key]), without_key_bias(key, value), strict=True):
            assert (found_part - part).abs().max() < 1e-5, key
