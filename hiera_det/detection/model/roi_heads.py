"""The second stage: sampling of RoIs, box head, mask head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import clip_boxes_to_image

from hiera_det.config import CfgNode
from hiera_det.detection.model.box_coder import BoxCoder
from hiera_det.detection.model.box_head import box_losses, build_box_head, match_boxes, select_detections
from hiera_det.detection.model.mask_head import build_mask_head, mask_loss, mask_probabilities
from hiera_det.detection.model.mask_targets import mask_targets
from hiera_det.detection.model.pooling import build_pooling


class BoxAndMaskHeads(RoIHeads):
    """torchvision's RoI heads with detectron2's losses, detections and masks, the box head in one or more stages.

    Each stage of a cascade takes the boxes of the one before it; the standard heads are a cascade of one stage.
    Matching and sampling are torchvision's, which draw random numbers in detectron2's order.
    Behaviour matched: ``StandardROIHeads`` and ``CascadeROIHeads`` in detectron2/modeling/roi_heads/.

    Args:
        cfg: the config.
        strides: of the pyramid's levels, by name.
        channels: of each level.
    """

    def __init__(self, cfg: CfgNode, strides: dict[str, int], channels: int) -> None:
        node, box = cfg.MODEL.ROI_HEADS, cfg.MODEL.ROI_BOX_HEAD
        cascade = cfg.MODEL.ROI_BOX_CASCADE_HEAD if node.NAME == "CascadeROIHeads" else None
        ious = cascade.IOUS if cascade else node.IOU_THRESHOLDS
        weights = cascade.BBOX_REG_WEIGHTS if cascade else [box.BBOX_REG_WEIGHTS]
        stages = [build_box_head(cfg, channels) for _ in ious]
        super().__init__(
            build_pooling(cfg, "ROI_BOX_HEAD", strides),
            nn.ModuleList(head for head, _ in stages),
            nn.ModuleList(predictor for _, predictor in stages),
            fg_iou_thresh=ious[0],
            bg_iou_thresh=ious[0],
            batch_size_per_image=node.BATCH_SIZE_PER_IMAGE,
            positive_fraction=node.POSITIVE_FRACTION,
            bbox_reg_weights=None,  # box_coder below
            score_thresh=node.SCORE_THRESH_TEST,
            nms_thresh=node.NMS_THRESH_TEST,
            detections_per_img=cfg.TEST.DETECTIONS_PER_IMAGE,
        )
        self.ious = list(ious)
        self.box_coders = [BoxCoder(of_stage) for of_stage in weights]
        self.box_coder = self.box_coders[0]
        self.loss_endings = [f"_stage{stage}" for stage in range(len(ious))] if cascade else [""]
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
        score_threshold: float | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Classify proposals and refine them, and predict their masks.

        Args:
            features: the pyramid's levels (B, C, H, W).
            proposals: (P, 4) of each image, xyxy pixels.
            image_shapes: (height, width) of each image without padding.
            targets: in training, of each image ``boxes`` (N, 4), ``labels`` (N,) 1..K, and with masks on
                ``masks`` (N, H, W) or ``polygons``.
            score_threshold: detections with a score above it are given; None: the config's.

        Returns:
            Detections of each image (none in training): ``boxes``, ``scores``, ``labels`` and, soft and in
            the box's frame, ``masks`` (D, M, M); and the losses (none in evaluation).
        """
        if self.training:
            return [], self._losses(features, proposals, image_shapes, targets or [])
        threshold = self.score_thresh if score_threshold is None else score_threshold
        detections = self._detections(features, proposals, image_shapes, threshold)
        if self.has_mask():
            mask_logits = self._masks(features, [found["boxes"] for found in detections])
            masks = mask_probabilities(mask_logits, torch.cat([found["labels"] for found in detections]))
            for found, mask in zip(detections, masks.split([len(f["boxes"]) for f in detections]), strict=True):
                found["masks"] = mask
        return detections, {}

    def _losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict],
    ) -> dict[str, Tensor]:
        rois, matched, labels, regression_targets = self.select_training_samples(proposals, targets)
        losses = self._box_losses(features, (rois, labels, regression_targets), image_shapes, targets)
        if self.has_mask():
            foreground = [torch.where(label > 0)[0] for label in labels]
            rois, matched, labels = (
                [value[chosen] for value, chosen in zip(values, foreground, strict=True)]
                for values in (rois, matched, labels)
            )
            mask_logits = self._masks(features, rois)
            expected = [
                mask_targets(target, boxes, index, mask_logits.shape[-1])
                for target, boxes, index in zip(targets, rois, matched, strict=True)
            ]
            losses["loss_mask"] = mask_loss(mask_logits, torch.cat(labels), torch.cat(expected))
        return losses

    def _box_losses(
        self,
        features: dict[str, Tensor],
        samples: tuple[list[Tensor], list[Tensor], Sequence[Tensor]],
        image_shapes: list[tuple[int, int]],
        targets: list[dict],
    ) -> dict[str, Tensor]:
        """Losses of every stage: the first has the sampled RoIs, the others what became of them."""
        losses: dict[str, Tensor] = {}
        rois, labels, regression_targets = samples
        for stage, ending in enumerate(self.loss_endings):
            logits, deltas = self._stage(features, rois, stage)
            loss_cls, loss_box_reg = box_losses(
                logits, deltas, torch.cat(labels), torch.cat(tuple(regression_targets)), self.smooth_l1_beta
            )
            losses |= {f"loss_cls{ending}": loss_cls, f"loss_box_reg{ending}": loss_box_reg * self.box_weight}
            if ending != self.loss_endings[-1]:
                boxes = _next_rois(self.box_coders[stage].decode(deltas.detach(), rois), rois, image_shapes)
                rois = [found[(found[:, 2:] > found[:, :2]).all(dim=1)] for found in boxes]
                labels, gt_boxes = match_boxes(rois, targets, self.ious[stage + 1])
                regression_targets = self.box_coders[stage + 1].encode(gt_boxes, rois)
        return losses

    def _detections(
        self, features: dict[str, Tensor], rois: list[Tensor], image_shapes: list[tuple[int, int]], threshold: float
    ) -> list[dict[str, Tensor]]:
        """The last stage's boxes with the mean of all stages' probabilities."""
        counts = [len(boxes) for boxes in rois]
        boxes, probabilities = torch.cat(rois)[:, None], []  # (R, 1, 4)
        for stage in range(len(self.ious)):
            rois = _next_rois(boxes, rois, image_shapes) if stage else rois
            logits, deltas = self._stage(features, rois, stage)
            probabilities.append(logits.softmax(dim=1))
            boxes = self.box_coders[stage].decode(deltas, rois)  # (R, K or 1, 4)
        mean = torch.stack(probabilities).sum(dim=0) * (1.0 / len(probabilities))
        return [
            select_detections(
                *found,
                score_thresh=threshold,
                nms_thresh=self.nms_thresh,
                limit=self.detections_per_img,
            )
            for found in zip(boxes.split(counts), mean.split(counts), image_shapes, strict=True)
        ]

    def _stage(self, features: dict[str, Tensor], rois: list[Tensor], stage: int) -> tuple[Tensor, Tensor]:
        """Class logits (R, 1 + K) and deltas (R, K or 1, 4)."""
        pooled = self.box_roi_pool(features, rois)
        if pooled.requires_grad and len(self.ious) > 1:  # the losses add up, but the pyramid learns from their mean
            pooled.register_hook(lambda gradient: gradient * (1.0 / len(self.ious)))
        return self.box_predictor[stage](self.box_head[stage](pooled))

    def _masks(self, features: dict[str, Tensor], rois: list[Tensor]) -> Tensor:
        return self.mask_predictor(self.mask_head(self.mask_roi_pool(features, rois)))

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


def _next_rois(boxes: Tensor, rois: list[Tensor], image_shapes: list[tuple[int, int]]) -> list[Tensor]:
    """RoIs of a cascade's next stage: the boxes (R, 1, 4) that the RoIs have become, cut to the images."""
    found = boxes[:, 0].split([len(of_image) for of_image in rois])
    return [clip_boxes_to_image(of_image, shape) for of_image, shape in zip(found, image_shapes, strict=True)]
