"""The second stage: sampling of RoIs, box head, mask head."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads

from hiera_det.config import CfgNode
from hiera_det.hosts.torchvision.box_head import box_losses, build_box_head, select_detections
from hiera_det.hosts.torchvision.mask_head import build_mask_head, mask_loss, mask_probabilities
from hiera_det.hosts.torchvision.mask_targets import mask_targets
from hiera_det.hosts.torchvision.pooling import build_pooling


class BoxAndMaskHeads(RoIHeads):
    """torchvision's RoI heads with detectron2's losses, detections and masks.

    Matching and sampling are torchvision's, which draw random numbers in detectron2's order.
    Behaviour matched: ``StandardROIHeads`` in detectron2/modeling/roi_heads/roi_heads.py.

    Args:
        cfg: the config.
        strides: of the pyramid's levels, by name.
        channels: of each level.
    """

    def __init__(self, cfg: CfgNode, strides: dict[str, int], channels: int) -> None:
        node, box = cfg.MODEL.ROI_HEADS, cfg.MODEL.ROI_BOX_HEAD
        super().__init__(
            build_pooling(cfg, "ROI_BOX_HEAD", strides),
            *build_box_head(cfg, channels),
            fg_iou_thresh=node.IOU_THRESHOLDS[0],
            bg_iou_thresh=node.IOU_THRESHOLDS[0],
            batch_size_per_image=node.BATCH_SIZE_PER_IMAGE,
            positive_fraction=node.POSITIVE_FRACTION,
            bbox_reg_weights=tuple(box.BBOX_REG_WEIGHTS),
            score_thresh=node.SCORE_THRESH_TEST,
            nms_thresh=node.NMS_THRESH_TEST,
            detections_per_img=cfg.TEST.DETECTIONS_PER_IMAGE,
        )
        if cfg.MODEL.MASK_ON:
            self.mask_roi_pool = build_pooling(cfg, "ROI_MASK_HEAD", strides)
            self.mask_head, self.mask_predictor = build_mask_head(cfg, channels)
        self.append_gt = node.PROPOSAL_APPEND_GT
        self.smooth_l1_beta = box.SMOOTH_L1_BETA
        self.box_weight = box.BBOX_REG_LOSS_WEIGHT

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Classify proposals and refine them, and predict their masks.

        Args:
            features: the pyramid's levels (B, C, H, W).
            proposals: (P, 4) of each image, xyxy pixels.
            image_shapes: (height, width) of each image without padding.
            targets: in training, of each image ``boxes`` (N, 4), ``labels`` (N,) 1..K, and with masks on
                ``masks`` (N, H, W) or ``polygons``.

        Returns:
            Detections of each image (none in training): ``boxes``, ``scores``, ``labels`` and, soft and in
            the box's frame, ``masks`` (D, M, M); and the losses (none in evaluation).
        """
        if self.training:
            return [], self._losses(features, proposals, targets)
        logits, deltas = self._boxes(features, proposals)
        detections = self._detections(logits, deltas, proposals, image_shapes)
        if self.has_mask():
            mask_logits = self._masks(features, [found["boxes"] for found in detections])
            masks = mask_probabilities(mask_logits, torch.cat([found["labels"] for found in detections]))
            for found, mask in zip(detections, masks.split([len(f["boxes"]) for f in detections]), strict=True):
                found["masks"] = mask
        return detections, {}

    def _losses(
        self, features: dict[str, Tensor], proposals: list[Tensor], targets: list[dict] | None
    ) -> dict[str, Tensor]:
        rois, matched, labels, regression_targets = self.select_training_samples(proposals, targets)
        logits, deltas = self._boxes(features, rois)
        loss_cls, loss_box_reg = box_losses(
            logits, deltas, torch.cat(labels), torch.cat(tuple(regression_targets)), self.smooth_l1_beta
        )
        losses = {"loss_cls": loss_cls, "loss_box_reg": loss_box_reg * self.box_weight}
        if self.has_mask():
            foreground = [label > 0 for label in labels]
            rois, matched, labels = (
                [value[chosen] for value, chosen in zip(values, foreground, strict=True)]
                for values in (rois, matched, labels)
            )
            mask_logits = self._masks(features, rois)
            expected = [
                mask_targets(target, boxes, index, mask_logits.shape[-1])
                for target, boxes, index in zip(targets or [], rois, matched, strict=True)
            ]
            losses["loss_mask"] = mask_loss(mask_logits, torch.cat(labels), torch.cat(expected))
        return losses

    def _boxes(self, features: dict[str, Tensor], rois: list[Tensor]) -> tuple[Tensor, Tensor]:
        return self.box_predictor(self.box_head(self.box_roi_pool(features, rois)))

    def _masks(self, features: dict[str, Tensor], rois: list[Tensor]) -> Tensor:
        return self.mask_predictor(self.mask_head(self.mask_roi_pool(features, rois)))

    def _detections(
        self, logits: Tensor, deltas: Tensor, proposals: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        counts = [len(boxes) for boxes in proposals]
        boxes = self.box_coder.decode_single(deltas.flatten(1), torch.cat(proposals)).view_as(deltas)
        return [
            select_detections(
                *found,
                score_thresh=self.score_thresh,
                nms_thresh=self.nms_thresh,
                limit=self.detections_per_img,
            )
            for found in zip(boxes.split(counts), logits.softmax(dim=1).split(counts), image_shapes, strict=True)
        ]

    def add_gt_proposals(self, proposals: list[Tensor], gt_boxes: list[Tensor]) -> list[Tensor]:  # noqa: D102
        return super().add_gt_proposals(proposals, gt_boxes) if self.append_gt else list(proposals)

    def check_targets(self, targets: list[dict] | None) -> None:
        """See that every image has what training needs.

        Raises:
            ValueError: there are no targets, or one lacks a field.
        """
        if targets is None:
            raise ValueError("training needs targets: a dict with boxes and labels for each image")
        for target in targets:
            if missing := {"boxes", "labels"} - set(target):
                raise ValueError(f"a target has {sorted(target)}; {sorted(missing)} missing")
            if self.has_mask() and not {"masks", "polygons"} & set(target):
                raise ValueError(f"a target has {sorted(target)}; MODEL.MASK_ON needs `masks` or `polygons` as well")
