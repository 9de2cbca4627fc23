"""A model that computes another function of a run's weights than the run did is told."""

from __future__ import annotations

import pytest
import torch

from hiera_det import HieraBackbone
from hiera_det.config import load_config, to_plain
from hiera_det.detection.model.detector import build_model
from hiera_det.weights.load import load_weights
from hiera_det.weights.same_function import known_arguments

SMALL = [
    *("MODEL.HIERA.EMBED_DIM", "16", "MODEL.HIERA.STAGES", "[1,1,2,1]", "MODEL.FPN.OUT_CHANNELS", "8"),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", "8", "MODEL.ROI_MASK_HEAD.CONV_DIM", "8", "MODEL.HIERA.GLOBAL_BLOCKS", "[3]"),
]


def config(*overrides):
    return load_config("quickstart", [*SMALL, *overrides])


@pytest.fixture
def checkpoint(saved, tmp_path):
    model = build_model(config())
    torch.save({"model": model.detectron2_state_dict(), "config": to_plain(config())}, tmp_path / "model_final.pth")
    return tmp_path / "model_final.pth"


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], None),
        (["MODEL.HIERA.DROP_PATH_RATE", "0.5"], None),
        (["MODEL.HIERA.WINDOW_SIZES", "[8,4,16,8]"], "MODEL.HIERA.WINDOW_SIZES (8, 4, 8, 4)"),
        (["MODEL.HIERA.GLOBAL_BLOCKS", "[2,3]"], "MODEL.HIERA.GLOBAL_BLOCKS (3,)"),
        (["MODEL.HIERA.LAYOUT", "released"], "MODEL.HIERA.LAYOUT 'windowed'"),
    ],
)
def test_detectors(checkpoint, whole, overrides, said, caplog):
    cfg = config(*overrides)
    load_weights(build_model(cfg) if whole else HieraBackbone.from_config(cfg), checkpoint)
    found = [message for message in caplog.messages if "another function" in message]
    assert len(found) == (said is not None)
    assert all(message.endswith(f"The same needs {said}") and str(checkpoint) in message for message in found)


def test_a_released_layout_has_no_windows():
    node = {"LAYOUT": "released", "NAME": "hiera_tiny_224", "WINDOW_SIZES": [8, 4, 16, 8], "GLOBAL_BLOCKS": None}
    assert known_arguments({"config": {"MODEL": {"HIERA": node}}}, {}) == {"layout": "released"}
    windows = known_arguments({"config": {"MODEL": {"HIERA": {**node, "LAYOUT": "windowed"}}}}, {})
    assert windows == {"layout": "windowed", "window_sizes": (8, 4, 16, 8), "global_blocks": (5, 7, 9)}


@pytest.mark.parametrize("entries", [{}, {"config": None}, {"config": {"MODEL": {"HIERA": {"LAYOUT": "windowed"}}}}])
def test_files_that_do_not_tell(entries):
    encoder = HieraBackbone("hiera_tiny_224", embed_dim=8, stages=(1, 1, 1, 1), global_blocks=()).state_dict()
    assert known_arguments(entries, encoder) == {}
