"""Region proposals."""

from __future__ import annotations

import torch
from fvcore.nn import smooth_l1_loss
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import batched_nms, clip_boxes_to_image

from hiera_det.config import CfgNode
from hiera_det.detection.model.anchors import build_anchors
from hiera_det.detection.model.box_coder import BoxCoder


class Float32RPNHead(RPNHead):
    """torchvision's head with outputs in float32: boxes are decoded from them to fractions of a pixel."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Maps (B, C, H, W) of each level to logits (B, A, H, W) and deltas (B, 4 * A, H, W)."""
        logits, deltas = super().forward(x)
        return [level.float() for level in logits], [level.float() for level in deltas]


class RegionProposals(RegionProposalNetwork):
    """torchvision's region proposal network with detectron2's selection of proposals and losses.

    Proposals are ranked by logit, and kept if larger than ``min_size``; losses are sums over the sampled
    anchors divided by the number asked for. Behaviour matched: ``RPN`` and ``find_top_rpn_proposals`` in
    detectron2/modeling/proposal_generator.

    Args:
        cfg: the config.
        strides: of the pyramid's levels, by name.
        channels: of each level.
    """

    def __init__(self, cfg: CfgNode, strides: dict[str, int], channels: int) -> None:
        node = cfg.MODEL.RPN
        unknown = [name for name in node.IN_FEATURES if name not in strides]
        if unknown:
            raise ValueError(f"MODEL.RPN.IN_FEATURES: {unknown} not in the pyramid, which has {list(strides)}")
        anchors = build_anchors(cfg, [strides[name] for name in node.IN_FEATURES])
        head = Float32RPNHead(channels, anchors.num_anchors_per_location()[0], conv_depth=len(node.CONV_DIMS))
        super().__init__(
            anchors,
            head,
            fg_iou_thresh=node.IOU_THRESHOLDS[1],
            bg_iou_thresh=node.IOU_THRESHOLDS[0],
            batch_size_per_image=node.BATCH_SIZE_PER_IMAGE,
            positive_fraction=node.POSITIVE_FRACTION,
            pre_nms_top_n={"training": node.PRE_NMS_TOPK_TRAIN, "testing": node.PRE_NMS_TOPK_TEST},
            post_nms_top_n={"training": node.POST_NMS_TOPK_TRAIN, "testing": node.POST_NMS_TOPK_TEST},
            nms_thresh=node.NMS_THRESH,
        )
        self.box_coder = BoxCoder(node.BBOX_REG_WEIGHTS)
        self.in_features = list(node.IN_FEATURES)
        self.min_size = cfg.MODEL.PROPOSAL_GENERATOR.MIN_SIZE
        self.smooth_l1_beta = node.SMOOTH_L1_BETA
        self.cls_weight = node.LOSS_WEIGHT
        self.loc_weight = node.LOSS_WEIGHT * node.BBOX_REG_LOSS_WEIGHT

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Propose boxes.

        Args:
            images: the padded batch and each image's size in it.
            features: the pyramid's levels.
            targets: in training, ``boxes`` (N, 4) of each image, xyxy pixels.

        Returns:
            Proposals (P, 4) of each image, best first, and in training ``loss_rpn_cls`` and ``loss_rpn_loc``.

        Raises:
            FloatingPointError: in training, a predicted box or score is not finite.
        """
        proposals, losses = super().forward(images, {name: features[name] for name in self.in_features}, targets)
        if not self.training:
            return proposals, {}
        return proposals, {
            "loss_rpn_cls": losses["loss_objectness"] * self.cls_weight,
            "loss_rpn_loc": losses["loss_rpn_box_reg"] * self.loc_weight,
        }

    def filter_proposals(
        self,
        proposals: Tensor,
        objectness: Tensor,
        image_shapes: list[tuple[int, int]],
        num_anchors_per_level: list[int],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The best proposals (P, 4) of each image and their logits (P,), by rank, after NMS in each level."""
        objectness = objectness.detach().reshape(len(proposals), -1)  # (B, levels * H * W * A)
        levels = torch.cat(
            [objectness.new_full((n,), i, dtype=torch.int64) for i, n in enumerate(num_anchors_per_level)]
        )
        top = _best_of_each_level(objectness, num_anchors_per_level, self.pre_nms_top_n())  # (B, K)
        objectness, levels = objectness.gather(1, top), levels[top]
        proposals = proposals.gather(1, top[..., None].expand(-1, -1, 4))  # (B, K, 4)
        finite = proposals.isfinite().all(dim=2) & objectness.isfinite()
        if self.training and not finite.all():
            raise FloatingPointError("the RPN's boxes or scores have NaN or infinity: training has diverged")
        kept_boxes, kept_logits = [], []
        for boxes, logits, level, valid, size in zip(proposals, objectness, levels, finite, image_shapes, strict=True):
            boxes = clip_boxes_to_image(boxes, size)
            valid = valid & (boxes[:, 2:] - boxes[:, :2] > self.min_size).all(dim=1)
            (kept,) = torch.where(valid)
            boxes, logits, level = boxes[kept], logits[kept], level[kept]
            keep = batched_nms(boxes, logits, level, self.nms_thresh)[: self.post_nms_top_n()]
            kept_boxes.append(boxes[keep])
            kept_logits.append(logits[keep])
        return kept_boxes, kept_logits

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Objectness and box loss over a sample of the anchors, both divided by sample size x images.

        Args:
            objectness: logits (B * anchors, 1).
            pred_bbox_deltas: (B * anchors, 4).
            labels: (anchors,) of each image: 1 object, 0 background, -1 neither.
            regression_targets: (anchors, 4) of each image.
        """
        positive, negative = (torch.cat(mask).bool() for mask in self.fg_bg_sampler(labels))
        sampled = positive | negative
        divisor = self.fg_bg_sampler.batch_size_per_image * len(labels)
        loss_cls = F.binary_cross_entropy_with_logits(
            objectness.flatten()[sampled], torch.cat(labels)[sampled], reduction="sum"
        )
        loss_loc = smooth_l1_loss(
            pred_bbox_deltas[positive],
            torch.cat(tuple(regression_targets))[positive],
            beta=self.smooth_l1_beta,
            reduction="sum",
        )
        return loss_cls / divisor, loss_loc / divisor


def _best_of_each_level(logits: Tensor, counts: list[int], limit: int) -> Tensor:
    """Indices (B, K) of the highest logits (B, sum of counts) of each level, at most ``limit`` of a level."""
    best = [level.topk(min(limit, level.shape[1])).indices for level in logits.split(counts, dim=1)]
    return torch.cat([index + sum(counts[:i]) for i, index in enumerate(best)], dim=1)
