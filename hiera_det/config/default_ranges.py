"""What each key of :mod:`hiera_det.config.defaults` may have.

The ends are wide: within them nothing is refused that somebody may mean, beyond them a value is a slip or an attack.
What several large values need together is not judged here.
"""

from __future__ import annotations

import math

from hiera_det.config.ranges import Range, number, texts, whole

__all__ = ["CHANNELS", "CLIP_RATE", "FRAMES", "ITERATIONS", "RANGES", "SIDE"]

ITERATIONS = 10**12
SIDE = 2**15  # pixels that an image or a part of it may be scaled to
LIMIT = 10**6  # pixels of a side that is a limit alone
CHANNELS = 2**14
FRAMES = whole(1, 10_000)  # of a clip
CLIP_RATE = whole(0, 10**6)  # thirtieths of a second from one frame to the next; 0: one frame again and again

_IOUS = number(0.0, 1.0, (1, 16), above=True, ascending=True)
_SHARE = number(0.0, 1.0)
_WEIGHT = number(0.0, 1e6)
_BOX_WEIGHTS = number(0.0, 1e6, (4, 5), above=True)  # five of rotated boxes, which detectron2 has
_RESOLUTION = whole(1, 256)
_SAMPLING = whole(-1, 32)  # 0 and -1: as many as the box has pixels
_BATCH = whole(1, 10**6)
_BOXES = whole(1, 10**7)
_LEVELS = (1, 64)

_MODEL = {
    "PIXEL_MEAN": number(-1e6, 1e6, (1, 4)),
    "PIXEL_STD": number(0.0, 1e6, (1, 4), above=True, as_many_as="MODEL.PIXEL_MEAN"),
    "BACKBONE.FREEZE_AT": whole(0, 64),
    "HIERA.EMBED_DIM": whole(1, CHANNELS, optional=True),
    "HIERA.NUM_HEADS": whole(1, CHANNELS, optional=True),
    "HIERA.STAGES": whole(1, 256, (1, 16), optional=True),
    "HIERA.WINDOW_SIZES": whole(1, 1024, (1, 16)),
    "HIERA.GLOBAL_BLOCKS": whole(0, 4095, (0, 4096), optional=True),
    "HIERA.POS_EMBED_SIZE": whole(1, 1024, (2, 2), optional=True),
    "HIERA.DROP_PATH_RATE": number(0.0, 1.0, below=True),
    "HIERA.OUT_FEATURES": texts(),
    "HIERA.SQUARE_PAD": whole(0, SIDE),
    "HIERA.LAYER_DECAY": number(0.0, 1.0),
    "FPN.IN_FEATURES": texts(),
    "FPN.OUT_CHANNELS": whole(1, CHANNELS),
    "ANCHOR_GENERATOR.SIZES": number(0.0, 1e6, _LEVELS, _LEVELS, above=True, flat=True),
    "ANCHOR_GENERATOR.ASPECT_RATIOS": number(0.0, 1e3, _LEVELS, _LEVELS, above=True, flat=True),
    "ANCHOR_GENERATOR.OFFSET": number(0.0, 1.0, below=True),
    "PROPOSAL_GENERATOR.MIN_SIZE": whole(0, LIMIT),
    "RPN.IN_FEATURES": texts(),
    "RPN.IOU_THRESHOLDS": _IOUS,
    "RPN.IOU_LABELS": whole(-1, 1, (2, 17), as_many_as="MODEL.RPN.IOU_THRESHOLDS", more=1),
    "RPN.BOUNDARY_THRESH": whole(-1, LIMIT),
    "RPN.BATCH_SIZE_PER_IMAGE": _BATCH,
    "RPN.POSITIVE_FRACTION": _SHARE,
    "RPN.BBOX_REG_LOSS_WEIGHT": _WEIGHT,
    "RPN.BBOX_REG_WEIGHTS": _BOX_WEIGHTS,
    "RPN.SMOOTH_L1_BETA": _WEIGHT,
    "RPN.LOSS_WEIGHT": _WEIGHT,
    "RPN.PRE_NMS_TOPK_TRAIN": _BOXES,
    "RPN.PRE_NMS_TOPK_TEST": _BOXES,
    "RPN.POST_NMS_TOPK_TRAIN": _BOXES,
    "RPN.POST_NMS_TOPK_TEST": _BOXES,
    "RPN.NMS_THRESH": _SHARE,
    "RPN.CONV_DIMS": whole(-1, CHANNELS, _LEVELS),
    "ROI_HEADS.NUM_CLASSES": whole(1, 10**5),
    "ROI_HEADS.IN_FEATURES": texts(),
    "ROI_HEADS.IOU_THRESHOLDS": _IOUS,
    "ROI_HEADS.IOU_LABELS": whole(-1, 1, (2, 17), as_many_as="MODEL.ROI_HEADS.IOU_THRESHOLDS", more=1),
    "ROI_HEADS.BATCH_SIZE_PER_IMAGE": _BATCH,
    "ROI_HEADS.POSITIVE_FRACTION": _SHARE,
    "ROI_HEADS.SCORE_THRESH_TEST": _SHARE,
    "ROI_HEADS.NMS_THRESH_TEST": _SHARE,
    "ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT": _WEIGHT,
    "ROI_BOX_HEAD.BBOX_REG_WEIGHTS": _BOX_WEIGHTS,
    "ROI_BOX_HEAD.SMOOTH_L1_BETA": _WEIGHT,
    "ROI_BOX_HEAD.POOLER_RESOLUTION": _RESOLUTION,
    "ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": _SAMPLING,
    "ROI_BOX_HEAD.NUM_FC": whole(0, 64),
    "ROI_BOX_HEAD.FC_DIM": whole(1, CHANNELS),
    "ROI_BOX_HEAD.NUM_CONV": whole(0, 64),
    "ROI_BOX_HEAD.CONV_DIM": whole(1, CHANNELS),
    "ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS": number(
        *(0.0, 1e6, (2, 16), (4, 5)), above=True, as_many_as="MODEL.ROI_BOX_CASCADE_HEAD.IOUS"
    ),
    "ROI_BOX_CASCADE_HEAD.IOUS": number(0.0, 1.0, (2, 16), above=True),  # one: what StandardROIHeads are
    "ROI_MASK_HEAD.POOLER_RESOLUTION": _RESOLUTION,
    "ROI_MASK_HEAD.POOLER_SAMPLING_RATIO": _SAMPLING,
    "ROI_MASK_HEAD.NUM_CONV": whole(0, 64),
    "ROI_MASK_HEAD.CONV_DIM": whole(1, CHANNELS),
}

_INPUT = {
    "MIN_SIZE_TRAIN": whole(1, SIDE, (1, 10_000)),
    "MAX_SIZE_TRAIN": whole(1, LIMIT),
    "MIN_SIZE_TEST": whole(0, SIDE),
    "MAX_SIZE_TEST": whole(1, LIMIT),
    "CROP.SIZE": number(0.0, SIDE, (2, 2), above=True),
    "IMAGE_SIZE": whole(0, SIDE),
    "MAX_PIXELS": whole(1, 10**12),
    "PIXEL_RANGE": number(-1e38, 1e38, (0, 2)),  # two or none
}

_SOLVER = {
    "MAX_ITER": whole(1, ITERATIONS),
    "BASE_LR": number(0.0, 1e6),
    "BASE_LR_BATCH": whole(0, 10**6),
    "MAX_EPOCHS": number(0.0, 1e6),
    "BASE_LR_END": number(0.0, 1e6),
    "MOMENTUM": number(0.0, 1.0, below=True),
    "WEIGHT_DECAY": _WEIGHT,
    "WEIGHT_DECAY_NORM": _WEIGHT,
    "GAMMA": number(0.0, 10.0),
    "STEPS": whole(1, ITERATIONS, (0, 100)),
    "WARMUP_FACTOR": number(0.0, 10.0),
    "WARMUP_ITERS": whole(0, ITERATIONS),
    "CHECKPOINT_PERIOD": whole(1, ITERATIONS),
    "IMS_PER_BATCH": _BATCH,
    "BIAS_LR_FACTOR": _WEIGHT,
    "WEIGHT_DECAY_BIAS": number(0.0, 1e6, optional=True),
    "CLIP_GRADIENTS.CLIP_VALUE": number(0.0, 1e9),
    "CLIP_GRADIENTS.NORM_TYPE": number(0.0, math.inf, above=True),  # infinity: the largest gradient
    "REFERENCE_WORLD_SIZE": whole(0, 10**6),
    "BETAS": number(0.0, 1.0, (2, 2), below=True),
}

RANGES: dict[str, Range] = {
    "VERSION": whole(2, 2),
    "SEED": whole(-(2**32), 2**32 - 1),  # NumPy's, which detectron2 seeds, have 32 bits
    "VIS_PERIOD": whole(0, ITERATIONS),
    **{f"MODEL.{key}": its for key, its in _MODEL.items()},
    **{f"INPUT.{key}": its for key, its in _INPUT.items()},
    "DATASETS.TRAIN": texts(),
    "DATASETS.TEST": texts(),
    "DATASETS.FILES": texts((3, 3)),
    "DATASETS.SHA256": texts((2, 2)),
    "DATALOADER.NUM_WORKERS": whole(0, 1024),
    **{f"SOLVER.{key}": its for key, its in _SOLVER.items()},
    "TEST.EVAL_EPOCHS": number(0.0, 1e6),
    "TEST.EVAL_PERIOD": whole(0, ITERATIONS),
    "TEST.DETECTIONS_PER_IMAGE": whole(1, 10**6),
    "TEST.METRICS": texts(),
    "LOGGERS": texts(),
}
