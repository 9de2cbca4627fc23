"""The mask head: features of a RoI to a mask of each class, and its loss."""

from __future__ import annotations

import torch
from fvcore.nn.weight_init import c2_msra_fill
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from hiera_det.config import CfgNode
from hiera_det.detection.model.pyramid import norm_layer


def build_mask_head(cfg: CfgNode, in_channels: int) -> tuple[nn.Module, nn.Module]:
    """The convolutions of ``MODEL.ROI_MASK_HEAD`` and their predictor, initialised as detectron2's.

    The predictor has a mask per foreground class (or one for all): there is none for background.
    Behaviour matched: ``MaskRCNNConvUpsampleHead`` in detectron2/modeling/roi_heads/mask_head.py.
    """
    node = cfg.MODEL.ROI_MASK_HEAD
    head = MaskRCNNHeads(in_channels, [node.CONV_DIM] * node.NUM_CONV, 1, norm_layer(node.NORM))
    channels = node.CONV_DIM if node.NUM_CONV else in_channels
    num_masks = 1 if node.CLS_AGNOSTIC_MASK else cfg.MODEL.ROI_HEADS.NUM_CLASSES
    predictor = MaskRCNNPredictor(channels, node.CONV_DIM, num_masks)
    c2_msra_fill(predictor.conv5_mask)
    nn.init.normal_(predictor.mask_fcn_logits.weight, std=0.001)
    nn.init.zeros_(predictor.mask_fcn_logits.bias)
    return head, predictor


def mask_loss(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each RoI's mask of its own class, averaged over all pixels.

    Behaviour matched: ``mask_rcnn_loss`` in detectron2/modeling/roi_heads/mask_head.py.

    Args:
        logits: (R, K or 1, M, M).
        labels: (R,) 1..K.
        targets: (R, M, M) bool.

    Returns:
        The loss; without RoIs, a zero that is still part of the graph.
    """
    if len(labels) == 0:
        return logits.float().sum() * 0
    return F.binary_cross_entropy_with_logits(_own_class(logits, labels).float(), targets.to(torch.float32))


def mask_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """Each RoI's soft mask of its class: logits (R, K or 1, M, M), labels (R,) 1..K to (R, M, M) float32."""
    return _own_class(logits, labels).float().sigmoid()


def _own_class(logits: Tensor, labels: Tensor) -> Tensor:
    if logits.shape[1] == 1:
        return logits[:, 0]
    return logits[torch.arange(len(labels), device=labels.device), labels - 1]
