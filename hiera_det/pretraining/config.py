"""Configuration of pretraining: the keys of ``hiera_det/config/defaults.py`` that apply, and the autoencoder's."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from hiera_det.config import declare_ranges, get_cfg, number, whole, with_values
from hiera_det.config.default_ranges import CHANNELS, CLIP_RATE, FRAMES, ITERATIONS, RANGES, SIDE

__all__ = ["OWN_RANGES", "defaults", "with_iterations"]

# What its own keys may have, and those that may have something else than those of detectors.
OWN_RANGES = {
    "MODEL.MAE.MASK_RATIO": number(0.0, 1.0, above=True, below=True),
    "MODEL.MAE.DECODER_EMBED_DIM": whole(1, CHANNELS),
    "MODEL.MAE.DECODER_DEPTH": whole(1, 256),
    "MODEL.MAE.DECODER_NUM_HEADS": whole(1, CHANNELS),
    "INPUT.SIZE": whole(1, SIDE, (2, 2)),
    "INPUT.CROP_SCALE": number(0.0, 1.0, (2, 2), above=True, ascending=True),
    "INPUT.CROP_RATIO": number(0.0, 100.0, (2, 2), above=True, ascending=True),
    "INPUT.REPEATS": whole(1, 10_000),
    "INPUT.NUM_FRAMES": FRAMES,
    "INPUT.RATE": CLIP_RATE,
    "DATASETS.EVERY": number(0.0, 1e6, above=True),
    "SOLVER.MAX_EPOCHS": number(0.0, 1e5, above=True),
    "SOLVER.WARMUP_EPOCHS": number(0.0, 1e5),
    "SOLVER.MAX_ITER": whole(0, ITERATIONS),
}


def defaults() -> CfgNode:
    """Give a new config with the defaults of every key: the recipe of the Hiera paper's ablations on images."""
    base = get_cfg()
    cfg = CfgNode()
    cfg.TASK = "pretraining"
    cfg.VERSION = 2
    cfg.OUTPUT_DIR = "./output/pretraining"
    cfg.SEED = 42
    cfg.LOGGERS = base.LOGGERS
    cfg.VIS_PERIOD = 0  # iterations between drawn reconstructions; 0: none
    cfg.MODEL = _model_defaults(base)
    cfg.INPUT = _input_defaults(base)

    cfg.DATASETS = CfgNode()
    # Inputs as `hiera-det extract --input` takes them: files, folders, globs, lists, COCO JSONs, tar files.
    cfg.DATASETS.TRAIN = ()
    cfg.DATASETS.TEST = ()  # held out: the loss is computed on them
    cfg.DATASETS.SHA256 = []  # as of detectors; of the names of the images or clips, in their order
    cfg.DATASETS.IMAGE_ROOT = ""  # of COCO JSONs; "": as COCO's layout has it
    cfg.DATASETS.EVERY = 2.0  # of videos: seconds from clip to clip; in training each draw moves a clip by up to half
    cfg.DATALOADER = CfgNode()
    cfg.DATALOADER.NUM_WORKERS = 8

    solver = cfg.SOLVER = base.SOLVER
    del solver["BASE_LR_BATCH"]  # of detectors
    solver.OPTIMIZER = "ADAMW"
    solver.BETAS = (0.9, 0.95)
    solver.LR_SCHEDULER_NAME = "WarmupCosineLR"
    solver.BASE_LR = 8e-4
    solver.WEIGHT_DECAY = 0.05
    solver.WEIGHT_DECAY_BIAS = 0.0
    solver.WARMUP_FACTOR = 0.0
    solver.IMS_PER_BATCH = (
        4096  # files decoded for one optimizer step, over all devices; each gives INPUT.REPEATS crops
    )
    solver.MAX_EPOCHS = 400.0  # passes over the training items, each crop counted
    solver.WARMUP_EPOCHS = 40.0
    solver.MAX_ITER = 0  # 0: as MAX_EPOCHS and WARMUP_EPOCHS say
    solver.WARMUP_ITERS = 0

    cfg.TEST = CfgNode()
    cfg.TEST.EVAL_PERIOD = 0  # iterations; 0: after the last one only
    declare_ranges(cfg, RANGES | OWN_RANGES)
    return cfg


def _model_defaults(base: CfgNode) -> CfgNode:
    model = CfgNode()
    model.DEVICE = "cuda"
    model.WEIGHTS = ""
    model.PIXEL_MEAN = [123.675, 116.28, 103.53]  # in the order of INPUT.FORMAT, 0-255: ImageNet's
    model.PIXEL_STD = [58.395, 57.12, 57.375]
    hiera = model.HIERA = base.MODEL.HIERA
    hiera.LAYOUT = "released"  # the one that masks work with
    hiera.POS_EMBED = "resize"
    for name in ("WINDOW_SIZES", "GLOBAL_BLOCKS", "POS_EMBED_SIZE", "OUT_FEATURES", "NORM", "SQUARE_PAD"):
        del hiera[name]  # of the windowed layout, and of maps
    mae = model.MAE = CfgNode()
    mae.MASK_RATIO = 0.6  # of an image's mask units, dropped; the paper has 0.9 for clips
    mae.TARGET = "pixel"  # or "hog"
    mae.NORMALIZE_TARGET = True  # pixels less their token's mean, over its standard deviation
    mae.MULTI_SCALE = True  # the decoder sees the maps of all stages, added up
    mae.DECODER_EMBED_DIM = 512
    mae.DECODER_DEPTH = 8
    mae.DECODER_NUM_HEADS = 16
    return model


def _input_defaults(base: CfgNode) -> CfgNode:
    node = CfgNode()
    node.FORMAT = "RGB"
    node.SIZE = [224, 224]  # height and width of a crop, multiples of 32
    node.CROP_SCALE = [0.2, 1.0]  # range of a crop's area, of the image's
    node.CROP_RATIO = [3 / 4, 4 / 3]  # range of a crop's width over its height
    node.RANDOM_FLIP = "horizontal"  # or "none"
    node.REPEATS = 1  # crops of each file that is decoded
    node.MAX_PIXELS = base.INPUT.MAX_PIXELS
    node.PIXEL_RANGE = base.INPUT.PIXEL_RANGE
    node.NUM_FRAMES = 16  # of a clip
    node.RATE = 4  # spacing of its frames, in thirtieths of a second
    return node


def with_iterations(cfg: CfgNode, items: int) -> CfgNode:
    """Give a config with the iterations that its epochs make.

    Args:
        cfg: its ``SOLVER.MAX_ITER`` is replaced, and ``SOLVER.WARMUP_ITERS`` where it is 0.
        items: images or clips of the training set.

    Raises:
        ValueError: the warm-up leaves nothing of the training.
    """
    solver = cfg.SOLVER
    per_step = solver.IMS_PER_BATCH * cfg.INPUT.REPEATS
    warmup = solver.WARMUP_ITERS or round(solver.WARMUP_EPOCHS * items / per_step)
    iterations = max(1, round(solver.MAX_EPOCHS * items / per_step))
    cfg = with_values(cfg, {"SOLVER.MAX_ITER": iterations, "SOLVER.WARMUP_ITERS": warmup})
    if 0 < cfg.SOLVER.WARMUP_ITERS >= cfg.SOLVER.MAX_ITER:
        raise ValueError(
            f"{items} items make {cfg.SOLVER.MAX_ITER} iterations of SOLVER.MAX_EPOCHS {solver.MAX_EPOCHS:g}, all of"
            f" them warm-up, which takes {cfg.SOLVER.WARMUP_ITERS}; raise MAX_EPOCHS, or lower SOLVER.WARMUP_EPOCHS"
        )
    return cfg
