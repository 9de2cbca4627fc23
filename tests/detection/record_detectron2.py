"""Record what detectron2 computes, for the tests in this folder to compare with on machines that have no detectron2.

    python tests/detection/record_detectron2.py

writes recorded/*.npz and recorded/names.json beside this file. It was run with detectron2 0.6 at commit
02b5c4e295e990042a714712c21dc79b731e8833, torch 2.15.0 and torchvision 0.29.2 on a CPU. The inputs are those of
tiny.py. Where detectron2 is installed, test_live_detectron2.py builds its models by this file's functions as well.

Of detectron2's data pipeline, tests/data/recorded has the values and the script.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import tiny
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.layers.batch_norm import LayerNorm
from detectron2.layers.mask_ops import paste_masks_in_image
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, build_model
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone.fpn import FPN, LastLevelMaxPool
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.poolers import ROIPooler, assign_boxes_to_levels
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.modeling.proposal_generator.rpn import RPN
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers, fast_rcnn_inference
from detectron2.structures import BitMasks, Boxes, ImageList, Instances, PolygonMasks
from detectron2.utils.events import EventStorage
from fvcore.common.config import CfgNode
from torch import nn

RECORDED = Path(__file__).with_name("recorded")


class Detectron2TinyBackbone(tiny.TinyBackbone, Backbone):
    def output_shape(self) -> dict[str, ShapeSpec]:
        return {name: ShapeSpec(self.channels[name], stride=self.strides[name]) for name in self.strides}


@BACKBONE_REGISTRY.register()
def build_tiny_fpn_backbone(cfg: CfgNode, _: ShapeSpec) -> FPN:
    node = cfg.MODEL.FPN
    square = cfg.MODEL.HIERA.SQUARE_PAD
    bottom_up = Detectron2TinyBackbone()
    return FPN(bottom_up, node.IN_FEATURES, node.OUT_CHANNELS, node.NORM, LastLevelMaxPool(), square_pad=square)


def config(overrides: dict) -> CfgNode:
    """The same config under detectron2's defaults."""
    cfg = get_cfg()
    cfg.MODEL.HIERA = CfgNode()
    ours = tiny.config(overrides)
    for name in ("MODEL", "INPUT", "TEST"):
        _merge(cfg[name], ours[name])
    cfg.MODEL.BACKBONE.NAME = "build_tiny_fpn_backbone"
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def _merge(node: CfgNode, other: CfgNode) -> None:
    for key, value in other.items():
        if isinstance(value, CfgNode) and key in node:
            _merge(node[key], value)
        else:
            node[key] = copy.deepcopy(value)


def model(overrides: dict) -> nn.Module:
    built = build_model(config(overrides))
    drawn = tiny.weights({name: tuple(value.shape) for name, value in built.state_dict().items()})
    built.load_state_dict(drawn)
    return built


def instances(target: dict, size: tuple[int, int], mask_format: str | None) -> Instances:
    result = Instances(size, gt_boxes=Boxes(target["boxes"]), gt_classes=target["labels"] - 1)
    if mask_format == "bitmask":
        result.gt_masks = BitMasks(target["masks"].bool())
    elif mask_format == "polygon":
        result.gt_masks = PolygonMasks([[p.flatten() for p in polygons] for polygons in target["polygons"]])
    return result


def detect(built: nn.Module, sizes: list[tuple[int, int]], seed: int) -> list[dict]:
    inputs = [
        {"image": image, "height": h, "width": w}
        for image, (h, w) in zip(tiny.images(sizes, seed), tiny.output_sizes(sizes), strict=True)
    ]
    with torch.no_grad():
        found = [output["instances"] for output in built.eval()(inputs)]
    results = [{"boxes": f.pred_boxes.tensor, "scores": f.scores, "labels": f.pred_classes + 1} for f in found]
    for result, f in zip(results, found, strict=True):
        if f.has("pred_masks"):
            result["masks"] = f.pred_masks
    return results


def losses(built: nn.Module, sizes: list[tuple[int, int]], seed: int, mask_format: str | None) -> dict:
    """Losses with their gradients left in the parameters."""
    targets = [instances(t, s, mask_format) for t, s in zip(tiny.targets(sizes, seed), sizes, strict=True)]
    inputs = [
        {"image": image, "instances": target} for image, target in zip(tiny.images(sizes, seed), targets, strict=True)
    ]
    torch.manual_seed(seed)
    with EventStorage(0):
        result = built.train()(inputs)
    sum(result.values()).backward()
    return result


def record_models() -> dict:
    names = {}
    values = {"randperm": torch.randperm(20, generator=torch.Generator().manual_seed(0))}
    for name, (overrides, sizes, seed) in tiny.MODELS.items():
        cfg, built = config(overrides), model(overrides)
        names[name] = {key: list(value.shape) for key, value in built.state_dict().items()}
        for i, result in enumerate(detect(built, sizes, seed)):
            if "masks" in result:
                result["masks"] = np.packbits(result["masks"].numpy())
            values.update({f"{name}/{i}/{key}": value for key, value in result.items()})
        mask_format = cfg.INPUT.MASK_FORMAT if cfg.MODEL.MASK_ON else None
        for key, value in losses(built, sizes, seed, mask_format).items():
            values[f"{name}/{key}"] = value.detach()
        norms = [parameter.grad.norm() for parameter in dict(built.named_parameters()).values()]
        values[f"{name}/gradients"] = torch.stack(norms)
    (RECORDED / "names.json").write_text(json.dumps(names, indent=0) + "\n")
    return values


def record_anchors() -> dict:
    sizes, ratios, strides = [[20, 33.5], [47]], [[0.5, 1.0, 2.0], [0.3]], [4, 8]
    grids = [torch.zeros(1, 1, 3, 4), torch.zeros(1, 1, 2, 2)]
    values = {}
    for offset in (0.0, 0.5):
        generator = DefaultAnchorGenerator(sizes=sizes, aspect_ratios=ratios, strides=strides, offset=offset)
        values[f"anchors/{offset}"] = torch.cat([level.tensor for level in generator(grids)])
    return values


def record_rpn() -> dict:
    case = tiny.rpn_case()
    cfg = config({})
    strides = (4, 8, 16, 32, 64)
    shapes = {f"p{i + 2}": ShapeSpec(16, stride=stride) for i, stride in enumerate(strides)}
    rpn = RPN(cfg, shapes)
    rpn.rpn_head.forward = lambda _: (case["logits"], case["deltas"])
    features = {
        name: torch.zeros(2, 16, *logits.shape[2:]) for name, logits in zip(shapes, case["logits"], strict=True)
    }
    images = ImageList(torch.zeros(2, 3, *case["padded"]), case["image_sizes"])
    gt = [
        Instances(size, gt_boxes=Boxes(boxes)) for size, boxes in zip(case["image_sizes"], case["boxes"], strict=True)
    ]
    values = {}
    labels = []
    rpn._subsample_labels = lambda label: labels.append(label.clone()) or RPN._subsample_labels(rpn, label)
    for training in (True, False):
        torch.manual_seed(3)
        with EventStorage(0):
            proposals, loss = rpn.train(training)(images, features, gt if training else None)
        for i, found in enumerate(proposals):
            values[f"rpn/{training}/{i}/boxes"] = found.proposal_boxes.tensor
            values[f"rpn/{training}/{i}/logits"] = found.objectness_logits
        values.update({f"rpn/{name}": value for name, value in loss.items()})
    values.update({f"rpn/labels/{i}": label for i, label in enumerate(labels)})
    return values


def record_pooling() -> dict:
    case = tiny.roi_case()
    boxes = [Boxes(b) for b in case["boxes"]]
    pooler = ROIPooler(3, [1 / 4, 1 / 8, 1 / 16, 1 / 32], 0, "ROIAlignV2")
    return {
        "levels": assign_boxes_to_levels(boxes, 2, 5, 224, 4),
        "pooled": pooler(list(case["maps"].values()), boxes),
    }


def record_box_head() -> dict:
    case = tiny.box_case()
    values = {}
    for beta in (0.0, 0.5):
        transform = Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0))
        layers = FastRCNNOutputLayers(4, box2box_transform=transform, num_classes=5, smooth_l1_beta=beta)
        proposals = Instances((90, 100), proposal_boxes=Boxes(case["rois"]))
        proposals.gt_boxes, proposals.gt_classes = Boxes(case["gt_boxes"]), case["labels"]
        with EventStorage(0):
            loss = layers.losses((case["logits"], case["deltas"]), [proposals])
        values.update({f"box/{beta}/{name}": value for name, value in loss.items()})
    boxes = layers.predict_boxes((case["logits"], case["deltas"]), [proposals])[0]
    scores = layers.predict_probs((case["logits"], case["deltas"]), [proposals])[0]
    boxes[3, 7], scores[4, 2] = float("nan"), float("inf")
    (found,), _ = fast_rcnn_inference([boxes], [scores], [(90, 100)], 0.05, 0.5, 60)
    values["box/detections/boxes"] = found.pred_boxes.tensor
    values["box/detections/scores"] = found.scores
    values["box/detections/labels"] = found.pred_classes + 1
    return values


def record_masks() -> dict:
    case = tiny.mask_case()
    polygons = PolygonMasks([[p.flatten() for p in polygons] for polygons in case["polygons"]])
    bitmaps = BitMasks(case["masks"].bool())
    values = {
        f"targets/{name}": np.packbits(masks[case["matched"]].crop_and_resize(case["boxes"], 28).numpy())
        for name, masks in {"polygon": polygons, "bitmask": bitmaps}.items()
    }
    case = tiny.paste_case()
    inside = case["boxes"][:, 0] < case["input_size"][1]
    pasted = paste_masks_in_image(case["masks"][inside], case["boxes"][inside], case["input_size"])
    values["pasted"] = np.packbits(pasted.numpy())
    found = Instances(case["input_size"], pred_boxes=Boxes(case["boxes"].clone()), scores=case["scores"])
    found.pred_masks = case["masks"][:, None]
    found = detector_postprocess(found, *case["output_size"])
    values["output/boxes"] = found.pred_boxes.tensor
    values["output/scores"] = found.scores
    values["output/masks"] = np.packbits(found.pred_masks.numpy())
    return values


def record_layers() -> dict:
    x = torch.tensor(np.random.RandomState(13).standard_normal((2, 6, 3, 4)), dtype=torch.float32)
    norm = LayerNorm(6)
    norm.weight.data, norm.bias.data = torch.linspace(0.5, 2, 6), torch.linspace(-1, 1, 6)
    values = {"layer_norm": norm(1e-3 * x).detach()}
    built = model({})
    batch = built.preprocess_image([{"image": image} for image in tiny.images([(40, 50), (33, 70)], 14)])
    values["batch"] = batch.tensor
    with torch.no_grad():
        pyramid = built.backbone(batch.tensor)
    values.update({f"pyramid/{name}": level[:, ::5] for name, level in pyramid.items()})
    return values


def main() -> None:
    RECORDED.mkdir(exist_ok=True)
    items = {**record_anchors(), **record_rpn(), **record_pooling(), **record_box_head(), **record_masks()}
    for name, values in {"items": items, "layers": record_layers(), "models": record_models()}.items():
        np.savez_compressed(RECORDED / f"{name}.npz", **{key: np.asarray(v) for key, v in values.items()})
    for path in sorted(RECORDED.iterdir()):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
