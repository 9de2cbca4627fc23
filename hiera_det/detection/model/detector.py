"""Faster R-CNN and Mask R-CNN on a feature pyramid, from torchvision's parts, with detectron2's semantics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hiera_det.config import CfgNode, pyramid_maps
from hiera_det.detection.model.batching import build_batching
from hiera_det.detection.model.config_check import check_config
from hiera_det.detection.model.detectron2_names import from_detectron2, to_detectron2
from hiera_det.detection.model.pasting import PastedMasks, to_output_size
from hiera_det.detection.model.pyramid import build_pyramid
from hiera_det.detection.model.roi_heads import BoxAndMaskHeads
from hiera_det.detection.model.rpn import RegionProposals
from hiera_det.hiera.backbone import HieraBackbone


class Detector(nn.Module):
    """Backbone, feature pyramid, region proposals, box head and, with ``MODEL.MASK_ON``, mask head.

    Made by :func:`build_model`. Behaviour matched: ``GeneralizedRCNN`` in
    detectron2/modeling/meta_arch/rcnn.py.
    """

    def __init__(self, cfg: CfgNode, bottom_up: nn.Module) -> None:
        super().__init__()
        self.backbone = build_pyramid(cfg, bottom_up)
        self.batching = build_batching(cfg, self.backbone.size_divisibility)
        strides, channels = self.backbone.strides, self.backbone.out_channels
        self.rpn = RegionProposals(cfg, strides, channels)
        self.roi_heads = BoxAndMaskHeads(cfg, strides, channels)

    def forward(
        self,
        images: list[Tensor],
        targets: list[dict] | None = None,
        output_sizes: list[tuple[int, int]] | None = None,
        score_threshold: float | None = None,
        *,
        paste: bool = True,
    ) -> dict[str, Tensor] | list[dict[str, Any]]:
        """Losses in training, detections in evaluation.

        Args:
            images: (C, H, W) each, uint8 or float, 0-255, channels as in ``INPUT.FORMAT``, already resized.
                Normalised and padded here.
            targets: in training, for each image ``boxes`` (N, 4) float32 xyxy in pixels of the given image,
                ``labels`` (N,) int64 1..K, and with masks on ``masks`` (N, H, W) uint8 or bool, or
                ``polygons``: for each instance a list of (k, 2) vertices in pixels.
            output_sizes: in evaluation, (height, width) in pixels that the detections of each image refer to;
                None: the given image's.
            score_threshold: in evaluation, detections with a score above it are given; None: the config's.
            paste: in evaluation, paste all masks; otherwise ``masks`` are
                :class:`~hiera_det.detection.model.pasting.PastedMasks`, for large images.

        Returns:
            In training ``loss_rpn_cls``, ``loss_rpn_loc``, ``loss_cls``, ``loss_box_reg`` and, with masks on,
            ``loss_mask``. In evaluation for each image ``boxes`` (D, 4) xyxy pixels, ``scores`` (D,), best
            first, ``labels`` (D,) 1..K and, with masks on, ``masks`` (D, height, width) bool.

        Raises:
            ValueError: training without targets, a target without a field, or an image that does not fit.
            FloatingPointError: in training, a predicted proposal is not finite.
        """
        batch = self.batching(images)
        if self.training:
            self.roi_heads.check_targets(targets)
            targets = [_to_device(target, batch.tensors) for target in targets or []]
        features = self.backbone(batch.tensors)
        proposals, rpn_losses = self.rpn(batch, features, targets)
        detections, roi_losses = self.roi_heads(features, proposals, batch.image_sizes, targets, score_threshold)
        if self.training:
            return {**roi_losses, **rpn_losses}
        sizes = zip(detections, batch.image_sizes, output_sizes or batch.image_sizes, strict=True)
        results = [to_output_size(found, given, wanted) for found, given, wanted in sizes]
        return [_pasted(result) for result in results] if paste else results

    def detectron2_state_dict(self) -> dict[str, Tensor]:
        """The state dict under detectron2's names."""
        return to_detectron2(self.state_dict())

    def load_detectron2_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict with detectron2's names; it must hold every parameter."""
        self.load_state_dict(from_detectron2(state))


def _pasted(found: dict[str, Any]) -> dict[str, Tensor]:
    return {name: value.paste() if isinstance(value, PastedMasks) else value for name, value in found.items()}


def _to_device(target: dict, like: Tensor) -> dict:
    return {name: value.to(like.device) if isinstance(value, Tensor) else value for name, value in target.items()}


def build_model(cfg: CfgNode, backbone: nn.Module | None = None) -> Detector:
    """The detector that a config describes, with fresh weights.

    Args:
        cfg: see hiera_det/config/defaults.py.
        backbone: maps (B, C, H, W) to a dict of maps, with their ``channels`` and ``strides``; None: the
            Hiera of ``MODEL.HIERA``, with the maps of ``MODEL.FPN.IN_FEATURES``.

    Raises:
        ValueError: the config asks for something that this backend does not do; the message names the key.
    """
    check_config(cfg)
    return Detector(cfg, HieraBackbone.from_config(cfg, pyramid_maps(cfg)) if backbone is None else backbone)
