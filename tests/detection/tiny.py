"""A detector small enough to record, and its inputs: for the tests here and for record_detectron2.py.

Everything is drawn from numpy's legacy generator, whose stream is the same in every version, so that neither weights
nor images need recording.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from hiera_det.config import CfgNode, load_config

CONFIG = Path(__file__).parents[2] / "configs" / "base_rcnn_fpn.yaml"
SMALL = {
    "MODEL.HIERA.SQUARE_PAD": 0,
    "MODEL.FPN.OUT_CHANNELS": 16,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 300,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 200,
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": 64,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 48,
    "MODEL.ROI_HEADS.NUM_CLASSES": 5,
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.3,
    "MODEL.ROI_BOX_HEAD.CONV_DIM": 12,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 24,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": 8,
    "MODEL.ROI_MASK_HEAD.NUM_CONV": 2,
    "TEST.DETECTIONS_PER_IMAGE": 20,
}
PLAIN = {
    "MODEL.FPN.NORM": "",
    "MODEL.RPN.CONV_DIMS": [-1],
    "MODEL.ROI_BOX_HEAD.NUM_CONV": 0,
    "MODEL.ROI_BOX_HEAD.NUM_FC": 2,
    "MODEL.ROI_BOX_HEAD.NORM": "",
    "MODEL.ROI_MASK_HEAD.NORM": "",
}
OTHER_VALUES = {
    "MODEL.HIERA.SQUARE_PAD": 160,
    "MODEL.ANCHOR_GENERATOR.OFFSET": 0.5,
    "MODEL.PROPOSAL_GENERATOR.MIN_SIZE": 4,
    "MODEL.RPN.LOSS_WEIGHT": 2.0,
    "MODEL.RPN.BBOX_REG_LOSS_WEIGHT": 0.5,
    "MODEL.RPN.SMOOTH_L1_BETA": 0.1,
    "MODEL.RPN.BBOX_REG_WEIGHTS": (1.5, 1.5, 2.0, 2.0),
    "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT": False,
    "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": 0.2,
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT": 3.0,
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": (5.0, 5.0, 4.0, 4.0),
    "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True,
    "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": True,
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 2,
}
CASCADE = {"MODEL.ROI_HEADS.NAME": "CascadeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True}
# Name: overrides, image sizes (height, width), seed of the images. An image of size FLAT has no annotation.
MODELS = {
    "vitdet_mask_bitmask": ({}, [(96, 128), (80, 101)], 1),
    "vitdet_faster": ({"MODEL.MASK_ON": False}, [(100, 133)], 2),
    "plain_mask_polygon": ({**PLAIN, "INPUT.MASK_FORMAT": "polygon"}, [(96, 96), (64, 64), (70, 126)], 3),
    "plain_faster": ({**PLAIN, "MODEL.MASK_ON": False}, [(128, 90), (90, 128)], 4),
    "other_values": ({**PLAIN, **OTHER_VALUES}, [(120, 150), (64, 64)], 5),
    "vitdet_cascade": (CASCADE, [(96, 120), (64, 64)], 6),
    "plain_cascade": ({**PLAIN, **CASCADE, "MODEL.MASK_ON": False}, [(90, 128)], 7),
}
FLAT = (64, 64)
GAINS = {"cls_score": 1.2, "bbox_pred": 0.6, "anchor_deltas": 0.3, "objectness": 3.0, "mask_head.predictor": 3.0}


class TinyBackbone(nn.Module):
    """Four strided convolutions, with the interface of hiera_det.hiera.backbone.HieraBackbone."""

    def __init__(self) -> None:
        super().__init__()
        self.strides = {f"res{level}": 2**level for level in (2, 3, 4, 5)}
        self.channels = {f"res{level}": 4 * level for level in (2, 3, 4, 5)}
        self.out_features = tuple(self.strides)
        widths = [3, *self.channels.values()]
        self.convs = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 3, stride=2 if i else 4, padding=1) for i in range(4)
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = {}
        for name, conv in zip(self.strides, self.convs, strict=True):
            x = maps[name] = torch.tanh(conv(x))
        return maps


def config(overrides: dict) -> CfgNode:
    pairs = {**SMALL, **overrides}
    return load_config(CONFIG, [str(word) for pair in pairs.items() for word in pair])


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Weights at a scale that gives detections of several classes and sizes; keys are detectron2's names."""
    drawn = {}
    for name, shape in shapes.items():
        values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        if len(shape) > 1:
            gain = next((gain for part, gain in GAINS.items() if part in name), 1.5)
            flat = values.reshape(shape[0], -1)
            flat -= flat.mean(1, keepdims=True)  # much of what comes in is positive: no output is to win on that
            values *= gain / np.sqrt(flat.shape[1])
        else:
            values = 0.1 * values + (1 if "norm" in name and name.endswith("weight") else 0)
        drawn[name] = torch.tensor(values, dtype=torch.float32)
    return drawn


def images(sizes: list[tuple[int, int]], seed: int) -> list[Tensor]:
    """Blocky noise (3, H, W) uint8."""
    draw = np.random.RandomState(seed)
    noise = [draw.randint(0, 256, (3, -(-h // 8), -(-w // 8))) for h, w in sizes]
    return [
        torch.tensor(np.kron(block, np.ones((1, 8, 8), int))[:, :h, :w].astype(np.uint8))
        for block, (h, w) in zip(noise, sizes, strict=True)
    ]


def targets(sizes: list[tuple[int, int]], seed: int) -> list[dict]:
    """Random polygons with their boxes, labels 1..5 and bitmaps; none where the size is FLAT."""
    draw = np.random.RandomState(seed)
    return [_target(draw, h, w, 0 if (h, w) == FLAT else draw.randint(2, 6)) for h, w in sizes]


def _target(draw: np.random.RandomState, height: int, width: int, count: int) -> dict:
    boxes, masks, polygons = np.zeros((count, 4)), np.zeros((count, height, width), np.uint8), []
    for i in range(count):
        angles = np.sort(draw.uniform(0, 2 * np.pi, 9))
        radius = draw.uniform(0.1, 0.4) * min(height, width) * draw.uniform(0.5, 1, 9)
        centre = draw.uniform(0.2, 0.8, 2) * (width, height)
        points = np.stack([np.cos(angles), np.sin(angles)], 1) * radius[:, None] + centre
        points = np.clip(points, 0, (width, height)).astype(np.float32).astype(float)
        boxes[i] = [*points.min(0), *points.max(0)]
        masks[i] = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([points.ravel().tolist()], height, width)))
        polygons.append([torch.tensor(points, dtype=torch.float32)])
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32),
        "labels": torch.tensor(draw.randint(1, 6, count)),
        "masks": torch.tensor(masks),
        "polygons": polygons,
    }


def output_sizes(sizes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(int(1.3 * h) + 1, int(0.9 * w)) for h, w in sizes]


def rpn_case() -> dict:
    """Feature maps' sizes with a head's outputs on them, for two images, and boxes to find.

    Among the logits are some that the sigmoid cannot tell apart, among the boxes some that are tiny, and some empty.
    """
    draw = np.random.RandomState(7)
    sizes = [(20, 25), (10, 13), (5, 7), (3, 4), (2, 2)]
    logits = [25 * draw.standard_normal((2, 3, h, w)) for h, w in sizes]
    deltas = [0.5 * draw.standard_normal((2, 3, 4, h, w)) for h, w in sizes]
    deltas[1][:, :, 2, 3] = np.log(2e-5)  # a row of boxes less than 1e-3 pixels wide
    deltas[1][:, :, 0, 4] = 40  # a row of boxes beyond the image
    boxes = [draw.uniform(0, 60, (3, 4)), np.zeros((0, 4))]
    for box in boxes:
        box[:, 2:] = box[:, :2] + 8 + box[:, 2:] / 3
    return {
        "logits": [torch.tensor(x, dtype=torch.float32) for x in logits],
        "deltas": [torch.tensor(x, dtype=torch.float32).flatten(1, 2) for x in deltas],
        "boxes": [torch.tensor(x, dtype=torch.float32) for x in boxes],
        "image_sizes": [(77, 98), (80, 100)],
        "padded": (80, 104),
    }


def roi_case() -> dict:
    """A pyramid of two images and boxes of all sizes in them, some on the border between two levels."""
    draw = np.random.RandomState(8)
    maps = {f"p{i}": torch.tensor(draw.standard_normal((2, 2, 2 ** (9 - i), 2 ** (9 - i)))) for i in (2, 3, 4, 5)}
    boxes = draw.uniform(0, 500, (2, 12, 4))
    boxes[..., 2:] = np.minimum(boxes[..., :2] + 2 ** draw.uniform(1, 9, (2, 12, 2)), 512)
    sides = np.array([[112, 112], [224, 224], [448, 448]]) * (1 - 3e-7)
    boxes[:, :3] = np.concatenate([np.zeros_like(sides), sides], 1)
    boxes[:, 3] = [5, 9, 505, 500]
    return {
        "maps": {name: value.float() for name, value in maps.items()},
        "boxes": [torch.tensor(b, dtype=torch.float32) for b in boxes],
    }


def box_case() -> dict:
    """RoIs with logits (background last), deltas, labels (5: background) and what they should become."""
    draw = np.random.RandomState(9)
    rois = draw.uniform(0, 80, (40, 4))
    rois[:, 2:] = rois[:, :2] + 5 + rois[:, 2:] / 4
    deltas = draw.standard_normal((40, 20))
    deltas[5:10, 2::4] = 5 * np.log(2e-4)  # boxes narrower than 1e-2 pixels
    case = {
        "rois": rois,
        "logits": 3 * draw.standard_normal((40, 6)),
        "deltas": deltas,
        "gt_boxes": rois + draw.uniform(-2, 2, (40, 4)),
        "labels": draw.randint(0, 6, 40),
    }
    return {
        name: torch.tensor(value, dtype=torch.int64 if name == "labels" else torch.float32)
        for name, value in case.items()
    }


def mask_case() -> dict:
    """Instances of one image, with boxes on them and the index of each box's instance."""
    draw = np.random.RandomState(10)
    target = targets([(90, 70)], 11)[0]
    matched = torch.tensor(draw.randint(0, len(target["boxes"]), 12))
    jitter = torch.tensor(draw.uniform(-4, 4, (12, 4)), dtype=torch.float32)
    jitter[:, 2:] += 3
    boxes = (target["boxes"][matched] + jitter).clamp(min=0)
    return {**target, "boxes": boxes, "matched": matched}


def paste_case() -> dict:
    """Soft masks with boxes, some partly outside of an image of 50 x 60 pixels, one empty after clipping."""
    draw = np.random.RandomState(12)
    boxes = draw.uniform(-8, 45, (8, 4))
    boxes[:, 2:] = boxes[:, :2] + 3 + draw.uniform(0, 30, (8, 2))
    boxes[3] = [62, 5, 70, 20]
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32),
        "masks": torch.tensor(draw.uniform(0, 1, (8, 14, 14)), dtype=torch.float32),
        "scores": torch.linspace(0.9, 0.2, 8),
        "labels": torch.arange(1, 9),
        "input_size": (50, 60),
        "output_size": (75, 77),
    }
