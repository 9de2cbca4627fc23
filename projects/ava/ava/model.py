"""Actions of people: video stage maps, RoIAlign on each person's box, a linear classifier.

The head is that of SlowFast (``slowfast/models/head_helper.py``, ``ResNetRoIHead``) by pytorchvideo's
``create_res_roi_pooling_head``; the backbone's maps are averaged over time before it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import torch
from fvcore.common.config import CfgNode
from pytorchvideo.models.head import create_res_roi_pooling_head
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork, RoIAlign

from hiera_det.hiera.backbone import HieraBackbone

__all__ = ["ActionDetector", "build_model"]


class ActionDetector(nn.Module):
    """Logits of each action for each person box.

    Args:
        backbone: of video; gives the maps of one or more stages.
        num_classes: actions.
        mean: of the pixels, 0-255, RGB.
        std: of the pixels.
        fpn_channels: of the pyramid over several stages, whose finest level is pooled.
        resolution: of RoIAlign, cells a side.
        sampling_ratio: of RoIAlign; 0: adaptive.
        dropout: rate before the classifier.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        backbone: HieraBackbone,
        num_classes: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        fpn_channels: int = 256,
        resolution: int = 7,
        sampling_ratio: int = 0,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        finest = backbone.out_features[0]
        channels = list(backbone.channels.values())
        self.fpn = None
        if len(channels) > 1:
            self.fpn = FeaturePyramidNetwork(channels, fpn_channels)
            for level in range(1, len(channels)):  # coarser levels feed the finest and are not pooled
                self.fpn.layer_blocks[level] = nn.Identity()
        self.head = create_res_roi_pooling_head(
            in_features=channels[0] if self.fpn is None else fpn_channels,
            out_features=num_classes,
            resolution=(resolution, resolution),
            spatial_scale=1.0 / backbone.strides[finest],
            sampling_ratio=sampling_ratio,
            roi=partial(RoIAlign, aligned=True),
            pool=None,
            pool_spatial=nn.MaxPool2d,
            dropout_rate=dropout,
            activation=None,
            output_with_global_average=False,
        )
        nn.init.normal_(self.head.proj.weight, std=0.01)
        nn.init.zeros_(self.head.proj.bias)
        self.register_buffer("pixel_mean", torch.tensor(mean).view(-1, 1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(std).view(-1, 1, 1, 1), persistent=False)

    def forward(self, clips: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Classify.

        Args:
            clips: (B, 3, T, H, W) RGB, 0-255, any H and W.
            boxes: of each clip (N, 4) xyxy in its pixels.

        Returns:
            (sum of N, num_classes) logits, in the order of clips and boxes.

        Raises:
            ValueError: not as many lists of boxes as clips.
        """
        if len(boxes) != len(clips):
            raise ValueError(f"{len(clips)} clips with {len(boxes)} lists of boxes; each clip needs one")
        clip_index = torch.cat([found.new_full((len(found), 1), i) for i, found in enumerate(boxes)])
        rois = torch.cat([clip_index, torch.cat(tuple(boxes))], dim=1)  # (R, 5)
        return self.classify((clips - self.pixel_mean) / self.pixel_std, rois)

    def classify(self, clips: Tensor, rois: Tensor) -> Tensor:
        """Normalised clips (B, 3, T, H, W) and RoIs (R, 5), clip and xyxy in pixels, to logits (R, num_classes)."""
        means = OrderedDict((name, maps.mean(dim=2)) for name, maps in self.backbone(clips).items())  # (B, C, h, w)
        pooled = next(iter((means if self.fpn is None else self.fpn(means)).values()))
        return self.head(pooled[:, :, None], rois).flatten(1).float()  # (R, num_classes)


def build_model(cfg: CfgNode, num_classes: int) -> ActionDetector:
    """The action detector of a config, with fresh weights.

    Args:
        cfg: see ``ava/config.py``.
        num_classes: actions of the label map.

    Raises:
        ValueError: an image backbone, a number of frames that it cannot take, or an unknown map.
    """
    node = cfg.MODEL.ROI_HEAD
    backbone = HieraBackbone.from_config(cfg, node.IN_FEATURES)
    if len(backbone.patch_stride) != 3:
        raise ValueError(f"MODEL.HIERA.NAME is {cfg.MODEL.HIERA.NAME!r}; expected a video variant, *_16x224")
    if cfg.INPUT.NUM_FRAMES % backbone.patch_stride[0]:
        raise ValueError(
            f"INPUT.NUM_FRAMES is {cfg.INPUT.NUM_FRAMES}; expected a multiple of {backbone.patch_stride[0]}"
        )
    return ActionDetector(
        backbone,
        num_classes,
        mean=cfg.MODEL.PIXEL_MEAN,
        std=cfg.MODEL.PIXEL_STD,
        fpn_channels=node.FPN_CHANNELS,
        resolution=node.POOLER_RESOLUTION,
        sampling_ratio=node.POOLER_SAMPLING_RATIO,
        dropout=node.DROPOUT,
    )
