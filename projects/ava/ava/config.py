"""Configuration of AVA runs: the keys of ``hiera_det/config/defaults.py`` that apply, and those of video."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from hiera_det.config import admit_removed_keys, declare_ranges, get_cfg, number, texts, whole
from hiera_det.config.default_ranges import CHANNELS, CLIP_RATE, FRAMES, RANGES, SIDE
from hiera_det.config.ranges import Range
from hiera_det.projects.ava.data.frame_names import FRAME_NAMES

__all__ = ["OWN_RANGES", "defaults"]

# What its own keys may have, and those that may have something else than those of detectors.
OWN_RANGES = {
    "MODEL.PIXEL_MEAN": number(-1e6, 1e6, (3, 3)),
    "MODEL.PIXEL_STD": number(0.0, 1e6, (3, 3), above=True),
    "MODEL.ROI_HEAD.IN_FEATURES": texts(),
    "MODEL.ROI_HEAD.FPN_CHANNELS": whole(1, CHANNELS),
    "MODEL.ROI_HEAD.POOLER_RESOLUTION": RANGES["MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION"],
    "MODEL.ROI_HEAD.POOLER_SAMPLING_RATIO": RANGES["MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO"],
    "MODEL.ROI_HEAD.DROPOUT": number(0.0, 1.0, below=True),
    "INPUT.NUM_FRAMES": FRAMES,
    "INPUT.RATE": CLIP_RATE,
    "INPUT.MIN_SIZE_TRAIN": whole(1, SIDE, (2, 2)),
    "INPUT.CROP_SIZE": whole(1, SIDE),
    "INPUT.BOX_JITTER": number(0.0, 0.5, (4, 4), below=True, optional=True),
    "INPUT.MIN_SIZE_TEST": whole(1, SIDE),
    "INPUT.BOX_EXTENSION": number(0.0, 0.5, (2, 2), below=True, optional=True),
    "DATASETS.FRAME_LISTS": texts(),
    "DATASETS.TRAIN": Range(),  # one file
    "DATASETS.TEST": Range(),
    "DATASETS.FIRST_SECOND": number(-1e9, 1e9),
    "DATASETS.FPS": number(0.0, 1e4, above=True),
    "DATASETS.MIN_BOX_SCORE": number(0.0, 1.0),
}


def defaults() -> CfgNode:
    """Give a new config with the defaults of every key: the recipe of the Hiera paper (table 13), on AVA v2.2."""
    base = get_cfg()
    cfg = CfgNode()
    admit_removed_keys(cfg)
    cfg.TASK = "actions"
    cfg.VERSION = 2
    cfg.OUTPUT_DIR = "./output/ava"
    cfg.SEED = 42
    cfg.LOGGERS = base.LOGGERS
    cfg.MODEL = _model_defaults(base)
    cfg.INPUT = _input_defaults()
    cfg.DATASETS = _dataset_defaults()
    cfg.DATALOADER = CfgNode()
    cfg.DATALOADER.NUM_WORKERS = 8

    cfg.SOLVER = base.SOLVER
    for name in ("BASE_LR_BATCH", "MAX_EPOCHS"):
        del cfg.SOLVER[name]  # of detectors
    cfg.SOLVER.OPTIMIZER = "SGD"
    cfg.SOLVER.LR_SCHEDULER_NAME = "WarmupCosineLR"
    cfg.SOLVER.BASE_LR = 3.6
    cfg.SOLVER.WEIGHT_DECAY = 1e-8
    cfg.SOLVER.IMS_PER_BATCH = 128  # clips in one optimizer step, over all devices

    cfg.TEST = CfgNode()
    cfg.TEST.EVAL_PERIOD = 0  # iterations; 0: after the last one only
    cfg.TEST.PROTOCOL = "slowfast"  # whose mAP: ava/evaluation
    cfg.TEST.TIMES_PERSON_SCORE = False  # an action's score times that of the person box
    cfg.TEST.STRICT = False  # end non-zero if a clip could not be read, which is reported and named anyhow
    declare_ranges(cfg, RANGES | OWN_RANGES)
    return cfg


def _model_defaults(base: CfgNode) -> CfgNode:
    model = CfgNode()
    model.DEVICE = "cuda"
    model.WEIGHTS = ""
    model.PIXEL_MEAN = [114.75, 114.75, 114.75]  # RGB, 0-255: Kinetics' 0.45 and 0.225
    model.PIXEL_STD = [57.375, 57.375, 57.375]
    model.BACKBONE = CfgNode()
    model.BACKBONE.FREEZE_AT = 0  # as for detectors; 5 freezes all of a backbone of four stages
    hiera = model.HIERA = base.MODEL.HIERA
    hiera.NAME = "hiera_large_16x224"
    hiera.LAYOUT = "released"
    hiera.POS_EMBED = "resize"
    hiera.NORM = "LN"
    hiera.LAYER_DECAY = 0.875
    hiera.DROP_PATH_RATE = 0.4

    head = model.ROI_HEAD = CfgNode()
    head.IN_FEATURES = ["res5"]  # of several, an FPN's finest level is pooled
    head.FPN_CHANNELS = 256
    head.POOLER_RESOLUTION = 7
    head.POOLER_SAMPLING_RATIO = 0
    head.DROPOUT = 0.5
    return model


def _input_defaults() -> CfgNode:
    node = CfgNode()
    node.NUM_FRAMES = 16
    node.RATE = 4  # of 30 frames a second
    node.MAX_PIXELS = 200_000_000  # of a frame; larger ones are refused before they are decoded
    node.MIN_SIZE_TRAIN = [256, 320]  # range of the short side, in pixels
    node.CROP_SIZE = 224  # training crop
    node.FLIP = True  # left and right; off where actions have a direction
    node.BOX_JITTER = None  # [0.2, 0.1, 0.1, 0.05]: VideoMAE's; see ava/data/transforms.py
    node.MIN_SIZE_TEST = 224  # short side
    node.CENTER_CROP_TEST = True
    node.BOX_EXTENSION = None  # [0.1, 0.05]: VideoMAE's, of test boxes
    return node


def _dataset_defaults() -> CfgNode:
    """Paths are relative to ``ROOT``."""
    node = CfgNode()
    node.ROOT = "datasets/ava"
    node.SOURCE = "frames"  # or "videos"
    node.FRAMES = "frames"  # folder of a folder of frames for each video
    node.VIDEOS = "videos"  # folder of videos
    node.FRAME_NAMES = FRAME_NAMES  # of the files in such a folder, where there are no frame lists
    # Of TRAIN, then of TEST; one: of both; []: the folders are listed instead.
    node.FRAME_LISTS = ["frame_lists/train.csv", "frame_lists/val.csv"]
    node.FIRST_SECOND = 900.0  # that the first frame shows, or that the videos begin with
    node.FPS = 30.0  # of the frames; videos have their own
    node.LABEL_MAP = "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt"
    node.TRAIN = "annotations/ava_train_v2.2.csv"
    node.TEST = "annotations/ava_val_v2.2.csv"
    node.TRAIN_BOXES = ""  # predicted person boxes, besides those of TRAIN
    node.TEST_BOXES = ""  # empty: the boxes of TEST
    node.MIN_BOX_SCORE = 0.8
    node.EXCLUSIONS = ""
    node.SHA256 = []  # as of detectors
    return node
