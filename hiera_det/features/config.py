"""Configuration of feature extraction: the detector's keys that apply, and those of the store."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from hiera_det.config import declare_ranges, get_cfg, texts, whole
from hiera_det.config.default_ranges import CLIP_RATE, FRAMES, RANGES, SIDE

__all__ = ["OWN_RANGES", "defaults"]

# What its own keys may have, and those that may have something else than those of detectors.
OWN_RANGES = {
    "INPUT.SIZE": whole(1, SIDE),
    "INPUT.MIN_SIZE_TEST": whole(1, SIDE),
    "INPUT.NUM_FRAMES": FRAMES,
    "INPUT.RATE": CLIP_RATE,
    "FEATURES.MAPS": texts(),
    "FEATURES.VECTORS": texts(),
    "STORE.ITEMS_PER_SHARD": whole(1, 10**6),
    "DATALOADER.BATCH_SIZE": whole(1, 10**6),
}


def defaults() -> CfgNode:
    """Give a new config with the defaults of every key of feature extraction."""
    base = get_cfg()
    cfg = CfgNode()
    cfg.VERSION = 2
    cfg.MODEL = CfgNode()
    cfg.MODEL.DEVICE = "cuda"
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.PIXEL_MEAN = [123.675, 116.28, 103.53]  # in the order of INPUT.FORMAT, 0-255: ImageNet's
    cfg.MODEL.PIXEL_STD = [58.395, 57.12, 57.375]
    cfg.MODEL.BACKBONE = CfgNode()
    cfg.MODEL.BACKBONE.FREEZE_AT = 0  # nothing is trained
    hiera = cfg.MODEL.HIERA = base.MODEL.HIERA
    hiera.LAYOUT = "released"
    hiera.POS_EMBED = "resize"

    cfg.INPUT = CfgNode()
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.RESIZE = "none"  # "crop": centre crop, as for classification; "squash"; "shortest_edge", as detectors
    cfg.INPUT.SIZE = 224  # pixels a side, of "crop" and "squash"
    cfg.INPUT.MIN_SIZE_TEST = 800  # of "shortest_edge"
    cfg.INPUT.MAX_SIZE_TEST = 1333
    cfg.INPUT.MAX_PIXELS = 40_000_000  # of an image or frame as decoded; larger ones fail
    cfg.INPUT.PIXEL_RANGE = base.INPUT.PIXEL_RANGE
    cfg.INPUT.NUM_FRAMES = 16  # of a clip
    cfg.INPUT.RATE = 4  # spacing of its frames, in thirtieths of a second

    features = cfg.FEATURES = CfgNode()
    features.MAPS = []  # of res2, res3, res4, res5
    features.VECTORS = ["mean"]  # of mean, max, roi, logits
    features.VECTORS_FROM = "res5"  # the map that mean, max and roi are taken of
    features.DTYPE = "fp16"  # as stored: fp16, bf16 or fp32
    features.PRECISION = "fp32"  # of the computation: fp32, bf16 or fp16

    cfg.STORE = CfgNode()
    cfg.STORE.ITEMS_PER_SHARD = 256  # their features are held in memory until the shard is written
    cfg.DATALOADER = CfgNode()
    cfg.DATALOADER.NUM_WORKERS = 2  # processes that decode
    cfg.DATALOADER.BATCH_SIZE = 8  # images or clips of one size
    declare_ranges(cfg, RANGES | OWN_RANGES)
    return cfg
