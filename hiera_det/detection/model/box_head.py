"""The box head: a RoI's features to class scores and box deltas, their losses, the choice of detections."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from fvcore.nn import smooth_l1_loss
from fvcore.nn.weight_init import c2_xavier_fill
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image

from hiera_det.config import CfgNode
from hiera_det.detection.model.pyramid import norm_layer


class BoxPredictor(FastRCNNPredictor):
    """Class logits, background first, and box deltas of the foreground classes only.

    Behaviour matched: ``FastRCNNOutputLayers`` in detectron2/modeling/roi_heads/fast_rcnn.py.

    Args:
        in_channels: of the box head's output.
        num_classes: K, without background.
        class_agnostic: one box for all classes instead of one each.
    """

    def __init__(self, in_channels: int, num_classes: int, class_agnostic: bool) -> None:
        super().__init__(in_channels, num_classes + 1)
        self.bbox_pred = nn.Linear(in_channels, 4 if class_agnostic else 4 * num_classes)
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.normal_(self.bbox_pred.weight, std=0.001)
        nn.init.zeros_(self.cls_score.bias)
        nn.init.zeros_(self.bbox_pred.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (R, C) to logits (R, 1 + K) and deltas (R, K or 1, 4), float32 under autocast as well."""
        logits, deltas = super().forward(x)
        return logits.float(), deltas.float().unflatten(1, (-1, 4))


def build_box_head(cfg: CfgNode, in_channels: int) -> tuple[nn.Module, BoxPredictor]:
    """The head of ``MODEL.ROI_BOX_HEAD`` and its predictor, initialised as detectron2's.

    Raises:
        ValueError: the head has no layers.
    """
    node = cfg.MODEL.ROI_BOX_HEAD
    if node.NUM_CONV + node.NUM_FC == 0:
        raise ValueError("MODEL.ROI_BOX_HEAD: NUM_CONV and NUM_FC are both 0; the head needs a layer")
    side = node.POOLER_RESOLUTION
    head = FastRCNNConvFCHead(
        (in_channels, side, side),
        [node.CONV_DIM] * node.NUM_CONV,
        [node.FC_DIM] * node.NUM_FC,
        norm_layer(node.NORM),
    )
    for layer in head:
        if isinstance(layer, nn.Linear):
            c2_xavier_fill(layer)
    channels = node.FC_DIM if node.NUM_FC else node.CONV_DIM * side * side
    return head, BoxPredictor(channels, cfg.MODEL.ROI_HEADS.NUM_CLASSES, node.CLS_AGNOSTIC_BBOX_REG)


def box_losses(
    logits: Tensor, deltas: Tensor, labels: Tensor, regression_targets: Tensor, smooth_l1_beta: float
) -> tuple[Tensor, Tensor]:
    """Classification and box loss, both averaged over all RoIs, background included.

    Behaviour matched: ``FastRCNNOutputLayers.losses`` in detectron2/modeling/roi_heads/fast_rcnn.py.

    Args:
        logits: (R, 1 + K), background first.
        deltas: (R, K or 1, 4).
        labels: (R,) int64, 0 background.
        regression_targets: (R, 4); of background RoIs not used.
        smooth_l1_beta: where the loss changes from quadratic to linear; 0: L1.

    Returns:
        ``loss_cls`` and ``loss_box_reg``; without RoIs, zeros that are still part of the graph.
    """
    if len(labels) == 0:
        return logits.sum() * 0, deltas.sum() * 0
    (foreground,) = torch.where(labels > 0)
    column = labels[foreground] - 1 if deltas.shape[1] > 1 else torch.zeros_like(foreground)
    loss_box_reg = smooth_l1_loss(
        deltas[foreground, column], regression_targets[foreground], beta=smooth_l1_beta, reduction="sum"
    )
    return F.cross_entropy(logits, labels), loss_box_reg / len(labels)


def match_boxes(
    boxes: Sequence[Tensor], targets: Sequence[dict], iou_thresh: float
) -> tuple[list[Tensor], list[Tensor]]:
    """What each box of each image should become; nothing is sampled.

    Behaviour matched: ``CascadeROIHeads._match_and_label_boxes`` in detectron2/modeling/roi_heads/cascade_rcnn.py.

    Args:
        boxes: (R, 4) xyxy pixels of each image.
        targets: of each image ``boxes`` (N, 4) and ``labels`` (N,) 1..K.
        iou_thresh: below it a box is background.

    Returns:
        Of each image ``labels`` (R,), 0 background, and the matched boxes (R, 4).
    """
    labels, matched = [], []
    for found, target in zip(boxes, targets, strict=True):
        gt_boxes, gt_labels = target["boxes"].to(found.dtype), target["labels"]
        if len(gt_boxes) == 0:
            labels.append(gt_labels.new_zeros(len(found)))
            matched.append(torch.zeros_like(found))
            continue
        overlap, index = box_iou(gt_boxes, found).max(dim=0)
        labels.append(torch.where(overlap >= iou_thresh, gt_labels[index], 0))
        matched.append(gt_boxes[index])
    return labels, matched


def select_detections(
    boxes: Tensor,
    scores: Tensor,
    image_size: tuple[int, int],
    *,
    score_thresh: float,
    nms_thresh: float,
    limit: int,
) -> dict[str, Tensor]:
    """The detections of one image: above the threshold, after NMS in each class, best first.

    Behaviour matched: ``fast_rcnn_inference_single_image`` in detectron2/modeling/roi_heads/fast_rcnn.py.

    Args:
        boxes: (R, K or 1, 4) xyxy pixels. RoIs with a box or score that is not finite are dropped.
        scores: (R, 1 + K) probabilities, background first.
        image_size: (height, width) to clip to.
        score_thresh: detections score more than this.
        nms_thresh: IoU above which the lower score is dropped.
        limit: detections to keep; negative: all.

    Returns:
        ``boxes`` (D, 4), ``scores`` (D,), ``labels`` (D,) int64 1..K.
    """
    finite = boxes.isfinite().flatten(1).all(dim=1) & scores.isfinite().all(dim=1)
    boxes, scores = clip_boxes_to_image(boxes, image_size), scores[:, 1:]
    roi, column = torch.where((scores > score_thresh) & finite[:, None])
    scores = scores[roi, column]
    boxes = boxes[roi, column if boxes.shape[1] > 1 else torch.zeros_like(column)]
    keep = batched_nms(boxes, scores, column, nms_thresh)
    if limit >= 0:
        keep = keep[:limit]
    return {"boxes": boxes[keep], "scores": scores[keep], "labels": column[keep] + 1}
