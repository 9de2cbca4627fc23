"""Detectors: the same scores on both backends, as many detections as asked for, and where our time goes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

from benchmarks.commands.detector import compare_detectors, detector_candidates
from benchmarks.models.detectors import at_size
from benchmarks.rounds import Settings
from hiera_det.config import load_config

CONFIGS = Path(__file__).parents[3] / "configs"
SMALL = ["MODEL.HIERA.EMBED_DIM", "8", "MODEL.HIERA.STAGES", "[1, 1, 1, 1]", "MODEL.HIERA.GLOBAL_BLOCKS", "[2]"]


@cache
def job(name):
    more = ["TEST.DETECTIONS_PER_IMAGE", "20", "MODEL.ROI_HEADS.NUM_CLASSES", "80"]  # so many that scores are low
    cfg = load_config(CONFIGS / "quickstart.yaml", [*SMALL, *more])
    (candidate,) = detector_candidates(at_size(cfg, 96), [name], "fp32", "cpu")
    return candidate.build()


def test_ours():
    (scores,) = job("ours").step()
    assert scores.shape == (20,) and 0.05 > scores[0] > scores[-1] > 0  # below the config's threshold
    details = job("ours").details()
    assert details.pop("detections") == 20
    assert set(details) == {
        f"share of {part}"
        for part in ("resize and pasting", "normalise", "backbone", "pyramid, RPN and NMS", "RoI heads")
    }
    assert min(details.values()) > 0 and sum(details.values()) == pytest.approx(1)


@pytest.mark.slow
def test_torchvision():
    (scores,) = job("torchvision-resnet50").step()
    assert torch.isfinite(scores).all() and scores[0] > scores[19] > 0


def test_both_backends_give_the_same_scores():
    pytest.importorskip("detectron2")
    (a,), (b,) = job("ours").step(), job("detectron2").step()
    assert (a - b).abs().max() < 1e-4 * a.max()


def test_sizes():
    cfg = load_config(CONFIGS / "mask_rcnn_hiera_b.yaml", [])
    smaller = at_size(cfg, 512)
    assert smaller.MODEL.HIERA.SQUARE_PAD == smaller.INPUT.MAX_SIZE_TEST == smaller.INPUT.MAX_SIZE_TRAIN == 512
    assert at_size(cfg, None) == cfg and cfg.INPUT.MAX_SIZE_TEST == 1024
    assert at_size(load_config(CONFIGS / "quickstart.yaml", []), 256).MODEL.HIERA.SQUARE_PAD == 0


def test_unknown_baseline():
    cfg = load_config(CONFIGS / "quickstart.yaml", [])
    axes = {"size": [96], "dtype": ["fp32"], "threads": [1]}
    with pytest.raises(ValueError, match="--vs sam2: expected some of detectron2, detectron2-vitdet"):
        next(compare_detectors(cfg, ["sam2"], axes, Settings()))
