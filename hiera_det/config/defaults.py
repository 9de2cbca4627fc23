"""Configuration: detectron2's keys that both backends share, one ``MODEL.HIERA`` node, few keys besides.

Names, meanings and defaults are those of detectron2 0.6 (``detectron2/config/defaults.py``), so that one YAML file
means the same model in either backend. Keys of detectron2 that are absent here are skipped where they have no effect on
Hiera's detectors (:mod:`hiera_det.config.without_effect`); naming any other is an error. What each key may have stands
in :mod:`hiera_det.config.default_ranges`.
"""

from __future__ import annotations

from fvcore.common.config import CfgNode

from hiera_det.config.default_ranges import RANGES
from hiera_det.config.ranges import declare_ranges

__all__ = ["REMOVED", "add_hiera_config", "admit_removed_keys", "get_cfg"]

REMOVED = ("TRAIN_FEATURES", "TEST_FEATURES")  # of DATASETS, in 0.1.0


def add_hiera_config(cfg: CfgNode) -> None:
    """Add this project's keys to a config with detectron2's, in place.

    They are ``TASK``, ``MODEL.HIERA``, ``INPUT.IMAGE_SIZE``, ``INPUT.MAX_PIXELS``, ``INPUT.PIXEL_RANGE``,
    ``DATASETS.FILES``, ``DATASETS.SHA256``, ``SOLVER.OPTIMIZER``, ``SOLVER.BETAS``, ``SOLVER.BASE_LR_BATCH``,
    ``SOLVER.MAX_EPOCHS``, ``TEST.EVAL_EPOCHS``, ``TEST.METRICS`` and ``LOGGERS``; of ``TASK``, ``INPUT.MAX_PIXELS``,
    ``INPUT.PIXEL_RANGE`` and ``LOGGERS`` detectron2 runs have the default alone.
    """
    cfg.TASK = "detection"  # or "actions", with the keys of projects/ava, or "pretraining"
    hiera = cfg.MODEL.HIERA = type(cfg)()
    hiera.NAME = "hiera_base_224"  # a variant of hiera_det.hiera.variants
    # Changes to the variant, None: the variant's own.
    hiera.EMBED_DIM = None
    hiera.NUM_HEADS = None
    hiera.STAGES = None
    hiera.LAYOUT = "windowed"  # or "released": mask units in stages 1-2, global attention in stages 3-4
    hiera.WINDOW_SIZES = [8, 4, 16, 8]  # tokens a side, by stage; these tile 1024 x 1024 without padding
    hiera.GLOBAL_BLOCKS = None  # indices of the blocks with global attention; None: the variant's own
    hiera.POS_EMBED = "absolute_win"  # or "resize"
    hiera.POS_EMBED_SIZE = None  # tokens along H, W of the global part that absolute_win stores; None: the variant's
    hiera.DROP_PATH_RATE = 0.0
    hiera.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    hiera.NORM = ""  # norm of each output map: "" or "LN"
    hiera.ACTIVATION_CHECKPOINTING = False
    hiera.SQUARE_PAD = 0  # pad images to a square of this side, in pixels; 0: to a multiple of 32
    hiera.LAYER_DECAY = 1.0  # learning rate factor from one block to the one before it
    # One size for all: images fit a square of it; also padding, windows and anchors. 0: each key says its own.
    cfg.INPUT.IMAGE_SIZE = 0
    cfg.INPUT.MAX_PIXELS = 200_000_000  # of an image file; larger ones are refused before they are decoded
    # Of pixels of more than 8 bits the values that become black and white, [0, 4095] for 12 bits; []: as the file says,
    # or else image by image 8, 12 or 16 bits. Pixels of 32 bits need it.
    cfg.INPUT.PIXEL_RANGE = []
    cfg.SOLVER.OPTIMIZER = "SGD"  # or "ADAMW"
    cfg.SOLVER.BETAS = (0.9, 0.999)  # of ADAMW
    # IMS_PER_BATCH that BASE_LR is meant for; for another the rate is scaled by the ratio (SGD) or its root. 0: never.
    cfg.SOLVER.BASE_LR_BATCH = 0
    cfg.SOLVER.MAX_EPOCHS = 0.0  # passes over the training images, from which MAX_ITER is counted; 0: MAX_ITER says
    cfg.TEST.EVAL_EPOCHS = 0.0  # with MAX_EPOCHS, from one evaluation and checkpoint to the next; 0: the periods say
    cfg.TEST.METRICS = []  # besides AP, of AR, AR-by-class, boundary, LVIS
    # Datasets of one's own that TRAIN and TEST may name: of each its name, its COCO JSON and the folder of its images.
    cfg.DATASETS.FILES = []
    cfg.DATASETS.SHA256 = []  # of the data that a run has read: name and sum of each; other content is refused
    cfg.LOGGERS = ["tensorboard"]  # also csv, wandb, mlflow; metrics.json is written in any case
    admit_removed_keys(cfg)
    declare_ranges(cfg, RANGES)


def admit_removed_keys(cfg: CfgNode) -> None:
    """Let config files that runs of 0.1.0 left be read: keys that are no more are ignored, which is logged."""
    for name in REMOVED:
        cfg.register_deprecated_key(f"DATASETS.{name}")


def get_cfg() -> CfgNode:
    """A new config with the defaults of every supported key."""
    cfg = CfgNode()
    cfg.VERSION = 2
    cfg.OUTPUT_DIR = "./output"
    cfg.FLOAT32_PRECISION = ""
    cfg.SEED = -1  # negative: a random one, drawn once per run and kept on resume
    cfg.VIS_PERIOD = 0  # iterations between images for the loggers; 0: none
    cfg.MODEL = _model_defaults()
    cfg.INPUT = _input_defaults()

    cfg.DATASETS = CfgNode()
    cfg.DATASETS.TRAIN = ()
    cfg.DATASETS.TEST = ()

    cfg.DATALOADER = CfgNode()
    cfg.DATALOADER.NUM_WORKERS = 4
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = True
    cfg.DATALOADER.SAMPLER_TRAIN = "TrainingSampler"
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = True

    cfg.SOLVER = _solver_defaults()

    cfg.TEST = CfgNode()
    cfg.TEST.EVAL_PERIOD = 0  # iterations; 0: after the last one only
    cfg.TEST.DETECTIONS_PER_IMAGE = 100
    add_hiera_config(cfg)
    return cfg


def _model_defaults() -> CfgNode:
    model = CfgNode()
    model.META_ARCHITECTURE = "GeneralizedRCNN"
    model.DEVICE = "cuda"
    model.WEIGHTS = ""
    model.MASK_ON = False
    model.KEYPOINT_ON = False
    model.LOAD_PROPOSALS = False
    # In the order of INPUT.FORMAT, values 0-255.
    model.PIXEL_MEAN = [103.530, 116.280, 123.675]
    model.PIXEL_STD = [1.0, 1.0, 1.0]

    model.BACKBONE = CfgNode()
    model.BACKBONE.NAME = "build_resnet_backbone"
    model.BACKBONE.FREEZE_AT = 2  # 0: nothing; 1: the patch embedding; k + 1: stages 1 to k as well

    model.FPN = CfgNode()
    model.FPN.IN_FEATURES = []
    model.FPN.OUT_CHANNELS = 256
    model.FPN.NORM = ""
    model.FPN.FUSE_TYPE = "sum"

    model.ANCHOR_GENERATOR = CfgNode()
    model.ANCHOR_GENERATOR.NAME = "DefaultAnchorGenerator"
    model.ANCHOR_GENERATOR.SIZES = [[32, 64, 128, 256, 512]]
    model.ANCHOR_GENERATOR.ASPECT_RATIOS = [[0.5, 1.0, 2.0]]
    model.ANCHOR_GENERATOR.OFFSET = 0.0

    model.PROPOSAL_GENERATOR = CfgNode()
    model.PROPOSAL_GENERATOR.NAME = "RPN"
    model.PROPOSAL_GENERATOR.MIN_SIZE = 0

    rpn = model.RPN = CfgNode()
    rpn.HEAD_NAME = "StandardRPNHead"
    rpn.IN_FEATURES = ["res4"]
    rpn.IOU_THRESHOLDS = [0.3, 0.7]
    rpn.IOU_LABELS = [0, -1, 1]
    rpn.BOUNDARY_THRESH = -1
    rpn.BATCH_SIZE_PER_IMAGE = 256
    rpn.POSITIVE_FRACTION = 0.5
    rpn.BBOX_REG_LOSS_TYPE = "smooth_l1"
    rpn.BBOX_REG_LOSS_WEIGHT = 1.0
    rpn.BBOX_REG_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
    rpn.SMOOTH_L1_BETA = 0.0
    rpn.LOSS_WEIGHT = 1.0
    rpn.PRE_NMS_TOPK_TRAIN = 12000
    rpn.PRE_NMS_TOPK_TEST = 6000
    rpn.POST_NMS_TOPK_TRAIN = 2000
    rpn.POST_NMS_TOPK_TEST = 1000
    rpn.NMS_THRESH = 0.7
    rpn.CONV_DIMS = [-1]

    roi = model.ROI_HEADS = CfgNode()
    roi.NAME = "Res5ROIHeads"
    roi.NUM_CLASSES = 80
    roi.IN_FEATURES = ["res4"]
    roi.IOU_THRESHOLDS = [0.5]
    roi.IOU_LABELS = [0, 1]
    roi.BATCH_SIZE_PER_IMAGE = 512
    roi.POSITIVE_FRACTION = 0.25
    roi.SCORE_THRESH_TEST = 0.05
    roi.NMS_THRESH_TEST = 0.5
    roi.PROPOSAL_APPEND_GT = True

    box = model.ROI_BOX_HEAD = CfgNode()
    box.NAME = ""
    box.BBOX_REG_LOSS_TYPE = "smooth_l1"
    box.BBOX_REG_LOSS_WEIGHT = 1.0
    box.BBOX_REG_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
    box.SMOOTH_L1_BETA = 0.0
    box.POOLER_RESOLUTION = 14
    box.POOLER_SAMPLING_RATIO = 0
    box.POOLER_TYPE = "ROIAlignV2"
    box.NUM_FC = 0
    box.FC_DIM = 1024
    box.NUM_CONV = 0
    box.CONV_DIM = 256
    box.NORM = ""
    box.CLS_AGNOSTIC_BBOX_REG = False
    box.TRAIN_ON_PRED_BOXES = False
    box.USE_FED_LOSS = False
    box.USE_SIGMOID_CE = False

    cascade = model.ROI_BOX_CASCADE_HEAD = CfgNode()  # of ROI_HEADS.NAME "CascadeROIHeads"
    cascade.BBOX_REG_WEIGHTS = tuple((10.0 * k, 10.0 * k, 5.0 * k, 5.0 * k) for k in (1, 2, 3))
    cascade.IOUS = (0.5, 0.6, 0.7)

    mask = model.ROI_MASK_HEAD = CfgNode()
    mask.NAME = "MaskRCNNConvUpsampleHead"
    mask.POOLER_RESOLUTION = 14
    mask.POOLER_SAMPLING_RATIO = 0
    mask.POOLER_TYPE = "ROIAlignV2"
    mask.NUM_CONV = 0
    mask.CONV_DIM = 256
    mask.NORM = ""
    mask.CLS_AGNOSTIC_MASK = False
    return model


def _input_defaults() -> CfgNode:
    node = CfgNode()
    node.FORMAT = "BGR"  # or "RGB"; "L" for one channel, "RGBA" for four: MODEL.PIXEL_MEAN has a value for each
    node.MASK_FORMAT = "polygon"  # or "bitmask"
    node.MIN_SIZE_TRAIN = (800,)
    node.MIN_SIZE_TRAIN_SAMPLING = "choice"  # or "range"
    node.MAX_SIZE_TRAIN = 1333
    node.MIN_SIZE_TEST = 800
    node.MAX_SIZE_TEST = 1333
    node.RANDOM_FLIP = "horizontal"  # or "vertical", "none"
    # TYPE "large_scale_jitter": the image is scaled to fit MAX_SIZE_TRAIN squared times a factor drawn from the range
    # SIZE, then cut at random to at most MAX_SIZE_TRAIN squared. It takes the place of the shortest-edge resize.
    node.CROP = CfgNode()
    node.CROP.ENABLED = False
    node.CROP.TYPE = "relative_range"
    node.CROP.SIZE = [0.9, 0.9]
    return node


def _solver_defaults() -> CfgNode:
    node = CfgNode()
    node.LR_SCHEDULER_NAME = "WarmupMultiStepLR"  # or "WarmupCosineLR"
    node.MAX_ITER = 40000
    node.BASE_LR = 0.001
    node.BASE_LR_END = 0.0  # of WarmupCosineLR
    node.MOMENTUM = 0.9
    node.NESTEROV = False
    node.WEIGHT_DECAY = 0.0001
    node.WEIGHT_DECAY_NORM = 0.0
    node.GAMMA = 0.1
    node.STEPS = (30000,)
    node.WARMUP_FACTOR = 1.0 / 1000
    node.WARMUP_ITERS = 1000
    node.WARMUP_METHOD = "linear"
    node.CHECKPOINT_PERIOD = 5000
    node.IMS_PER_BATCH = 16  # images in one optimizer step, over all devices
    node.BIAS_LR_FACTOR = 1.0
    node.WEIGHT_DECAY_BIAS = None  # None: WEIGHT_DECAY
    node.CLIP_GRADIENTS = CfgNode()
    node.CLIP_GRADIENTS.ENABLED = False
    node.CLIP_GRADIENTS.CLIP_TYPE = "value"  # or "norm" (each parameter), "full_model" (all together)
    node.CLIP_GRADIENTS.CLIP_VALUE = 1.0
    node.CLIP_GRADIENTS.NORM_TYPE = 2.0
    node.REFERENCE_WORLD_SIZE = 0
    node.AMP = CfgNode()
    node.AMP.ENABLED = False
    return node
