"""A frozen Hiera: batches of images or clips to stage maps, pooled vectors and logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torchvision.ops import roi_align

from hiera_det.hiera.backbone import HieraBackbone

__all__ = ["DTYPES", "Extracted", "FeatureExtractor", "cut", "padded_size"]

VECTORS = ("mean", "max", "roi", "logits")
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
ROI_RESOLUTION = 7  # cells a side, averaged to one vector
_LAST = "res5"


@dataclass(frozen=True)
class Extracted:
    """Of a batch, on its device, in the type of the store.

    Attributes:
        maps: (B, C, h, w) or (B, C, t, h, w) each, of the padded batch.
        vectors: (B, D) each; of "roi" (R, D), the boxes of all images in their order.
    """

    maps: dict[str, Tensor]
    vectors: dict[str, Tensor]


class FeatureExtractor(nn.Module):
    """A backbone without gradients, with pooling and the classifier.

    The vectors are computed in float32: "mean" and "max" over the cells that show the image, padding left out, of the
    map ``FEATURES.VECTORS_FROM``, taken before the final norm; "roi": RoIAlign of 7 x 7 bins (aligned, over the mean
    along time), averaged; "logits": of the original's classifier, which is a norm of the mean of res5 and a linear
    layer. (timm's ``forward_head(pre_logits=True)`` is that norm of "mean".)

    Args:
        cfg: see ``hiera_det/features/config.py``.
        num_classes: outputs of the classifier; read only if logits are wanted.

    Attributes:
        strides: pixels per cell of each stored map, by name.

    Raises:
        ValueError: unknown maps, vectors or types, or none wanted.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, cfg: CfgNode, num_classes: int = 0) -> None:
        super().__init__()
        node = cfg.FEATURES
        _check(cfg)
        self.maps, self.wanted, self.pooled_from = list(node.MAPS), tuple(node.VECTORS), node.VECTORS_FROM
        needed = {*self.maps, *([self.pooled_from] if {"mean", "max", "roi"} & set(self.wanted) else [])}
        if "logits" in self.wanted:
            needed.add(_LAST)
        self.backbone = HieraBackbone.from_config(cfg, sorted(needed))
        self.strides = {name: self.backbone.strides[name] for name in self.maps}
        if "logits" in self.wanted:
            dim = self.backbone.stage_dims[-1]
            self.norm = nn.LayerNorm(dim, eps=1e-6)
            self.projection = nn.Linear(dim, num_classes)
        per_channel = (-1, *[1] * self.input_dims)
        self.register_buffer("pixel_mean", torch.tensor(cfg.MODEL.PIXEL_MEAN).view(per_channel), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(cfg.MODEL.PIXEL_STD).view(per_channel), persistent=False)
        self.square_pad = cfg.MODEL.HIERA.SQUARE_PAD
        self.dtype = DTYPES[node.DTYPE]
        self.precision = PRECISIONS[node.PRECISION]
        self.requires_grad_(False).eval()

    @property
    def input_dims(self) -> int:
        """2: images; 3: clips."""
        return len(self.backbone.patch_stride)

    @torch.inference_mode()
    def forward(self, pixels: Sequence[Tensor], boxes: Sequence[Tensor]) -> Extracted:
        """Extract.

        Args:
            pixels: (3, H, W) or (3, T, H, W) uint8 each, of sizes that pad to the same multiple of 32.
            boxes: of each (N, 4) xyxy in its pixels; read for "roi" alone.
        """
        batch = self._batch(pixels)  # (B, 3, (T,) H, W)
        with torch.autocast(batch.device.type, self.precision, enabled=self.precision is not None):
            maps = self.backbone(batch)
        vectors = {name: self._vectors(name, maps, pixels, boxes).to(self.dtype) for name in self.wanted}
        return Extracted({name: maps[name].to(self.dtype) for name in self.maps}, vectors)

    def _batch(self, pixels: Sequence[Tensor]) -> Tensor:
        """Normalised and padded with zeros at the bottom and right, on the model's device."""
        height, width = padded_size(pixels[0])
        if self.square_pad:
            height = width = self.square_pad
        device = self.pixel_mean.device
        batch = torch.zeros(len(pixels), *pixels[0].shape[:-2], height, width, device=device)
        for row, image in zip(batch, pixels, strict=True):
            h, w = image.shape[-2:]
            row[..., :h, :w] = (image.to(device, non_blocking=True).float() - self.pixel_mean) / self.pixel_std
        return batch

    def _vectors(
        self, name: str, maps: Mapping[str, Tensor], pixels: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> Tensor:
        """One kind of vectors, of all images."""
        source = _LAST if name == "logits" else self.pooled_from
        feature, stride = maps[source].float(), self.backbone.strides[source]  # (B, C, (T,) h, w)
        if name == "roi":
            return _roi_means(feature, boxes, stride)
        seen = _seen(feature, pixels, stride)  # (B, 1, (1,) h, w)
        if name == "max":
            return feature.masked_fill(~seen, -torch.inf).flatten(2).amax(dim=2)
        cells = seen.expand_as(feature[:, :1]).flatten(1).sum(dim=1, keepdim=True)  # (B, 1)
        mean = feature.where(seen, 0).flatten(2).sum(dim=2) / cells
        return mean if name == "mean" else self.projection(self.norm(mean))


def padded_size(pixels: Tensor) -> tuple[int, int]:
    """Height and width of (..., H, W), each rounded up to a multiple of 32: the model pads to these."""
    height, width = (-(-n // 32) * 32 for n in pixels.shape[-2:])
    return height, width


def cut(feature: Tensor, pixels: Tensor, stride: int) -> Tensor:
    """The cells (..., h, w) of a map that show an image, of a map that may also show padding."""
    height, width = (-(-n // stride) for n in pixels.shape[-2:])
    return feature[..., :height, :width]


def _seen(feature: Tensor, pixels: Sequence[Tensor], stride: int) -> Tensor:
    """Which cells of a batch (B, C, (T,) h, w) show the images, not padding: (B, 1, (1,) h, w)."""
    seen = torch.zeros(len(pixels), 1, *[1] * (feature.dim() - 4), *feature.shape[-2:], dtype=torch.bool)
    for row, image in zip(seen, pixels, strict=True):
        cut(row, image, stride).fill_(True)
    return seen.to(feature.device, non_blocking=True)


def _roi_means(feature: Tensor, boxes: Sequence[Tensor], stride: int) -> Tensor:
    """A batch of maps (B, C, (T,) h, w) and each image's boxes (N, 4) in pixels to (sum of N, C)."""
    if feature.dim() == 5:
        feature = feature.mean(dim=2)
    bins = roi_align(feature, [own.to(feature) for own in boxes], ROI_RESOLUTION, 1 / stride, aligned=True)
    return bins.mean(dim=(2, 3))  # of (R, C, 7, 7)


def _check(cfg: CfgNode) -> None:
    node = cfg.FEATURES
    for key, allowed in (("DTYPE", DTYPES), ("PRECISION", PRECISIONS)):
        if node[key] not in allowed:
            raise ValueError(f"FEATURES.{key} is {node[key]!r}; expected one of {', '.join(allowed)}")
    unknown = [name for name in node.VECTORS if name not in VECTORS]
    if unknown:
        raise ValueError(f"FEATURES.VECTORS has {', '.join(unknown)}; expected some of {', '.join(VECTORS)}")
    stages = ["res2", "res3", "res4", "res5"]
    wrong = [name for name in [*node.MAPS, node.VECTORS_FROM] if name not in stages]
    if wrong:
        raise ValueError(f"no stage is called {', '.join(map(repr, wrong))}; expected some of {', '.join(stages)}")
    if not node.MAPS and not node.VECTORS:
        raise ValueError("FEATURES.MAPS and FEATURES.VECTORS are both empty: nothing to extract")
