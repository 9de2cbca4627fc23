"""The action detector in SlowFast's ``MODEL_REGISTRY``: importing this registers ``HieraAVA``.

In a SlowFast config (all keys are its own)::

    MODEL:
      MODEL_NAME: HieraAVA
      ARCH: hiera_large_16x224            # the variant
      SINGLE_PATHWAY_ARCH: [hiera_large_16x224]
      NUM_CLASSES: 80
      DROPOUT_RATE: 0.5
      HEAD_ACT: sigmoid
      LOSS_FUNC: bce
    MVIT:
      DROPPATH_RATE: 0.4
    DETECTION:
      ENABLE: True

SlowFast normalises the clips and reads the person boxes. ``DETECTION.SPATIAL_SCALE_FACTOR`` is not used: the stride is
the backbone's own, 32.
"""

from __future__ import annotations

from typing import Any

from fvcore.common.config import CfgNode
from slowfast.models.build import MODEL_REGISTRY
from torch import Tensor

from hiera_det.hiera.backbone import HieraBackbone
from hiera_det.projects.ava.model import ActionDetector

__all__ = ["HieraAVA"]


@MODEL_REGISTRY.register()
class HieraAVA(ActionDetector):
    """An :class:`~hiera_det.projects.ava.model.ActionDetector` from a SlowFast config.

    Args:
        cfg: SlowFast's config.

    Raises:
        ValueError: the config asks for something that this model does not do; the message names the key.
    """

    def __init__(self, cfg: CfgNode) -> None:
        if not cfg.DETECTION.ENABLE or not cfg.DETECTION.ALIGNED:
            raise ValueError("DETECTION.ENABLE and DETECTION.ALIGNED must be True for HieraAVA")
        if cfg.MODEL.HEAD_ACT not in ("sigmoid", "none"):
            raise ValueError(f"MODEL.HEAD_ACT is {cfg.MODEL.HEAD_ACT!r}; expected 'sigmoid' (LOSS_FUNC bce) or 'none'")
        backbone = HieraBackbone(
            cfg.MODEL.ARCH,
            ("res5",),
            out_norm=True,
            layout="released",
            pos_embed="resize",
            drop_path_rate=cfg.MVIT.DROPPATH_RATE,
        )
        if len(backbone.patch_stride) != 3:
            raise ValueError(f"MODEL.ARCH is {cfg.MODEL.ARCH!r}; expected a video variant, hiera_*_16x224")
        super().__init__(
            backbone,
            cfg.MODEL.NUM_CLASSES,
            mean=[0.0] * 3,
            std=[1.0] * 3,
            resolution=cfg.DETECTION.ROI_XFORM_RESOLUTION,
            dropout=cfg.MODEL.DROPOUT_RATE,
        )
        self.sigmoid = cfg.MODEL.HEAD_ACT == "sigmoid"

    def forward(self, x: list[Tensor], bboxes: Any = None) -> Tensor:
        """SlowFast's call: one pathway (B, 3, T, H, W), normalised, and boxes (R, 5); probabilities (R, K)."""
        logits = self.classify(x[0], bboxes)
        return logits.sigmoid() if self.sigmoid else logits
