"""A backbone that extracts features from images in any form, one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, overload

import numpy as np
import torch
from torch import Tensor

from hiera_det.data.image_files import MAX_PIXELS
from hiera_det.data.pixels import ImageSource, to_pixels
from hiera_det.engine.options import choose_device
from hiera_det.features.config import defaults
from hiera_det.features.extractor import FeatureExtractor, cut
from hiera_det.features.load import load_extractor
from hiera_det.features.preprocess import Preprocess
from hiera_det.hiera.backbone import HieraBackbone
from hiera_det.weights.formats import HieraWeights
from hiera_det.weights.sam2 import trunk_arguments
from hiera_det.weights.variant import variant_of

__all__ = ["Extractor", "Features"]


@dataclass(frozen=True, eq=False)
class Features:
    """Features of an image or a clip, float32 on the CPU.

    Attributes:
        maps: ``res2`` to ``res5``, (C, h, w) each, of a clip (C, t, h, w); h and w are ceil(size / stride).
        mean: (D,), the mean of ``res5`` over its cells.
    """

    maps: dict[str, Tensor]
    mean: Tensor


class Extractor:
    """A frozen backbone in the published layout, that of its weights, at the native size of each image.

    For many files and other settings there is the command ``hiera-det extract``.

    Args:
        model: of :func:`~hiera_det.features.load.load_extractor`.
        preprocess: what belongs to it.
    """

    def __init__(self, model: FeatureExtractor, preprocess: Preprocess) -> None:
        self.model = model
        self._preprocess = preprocess

    @classmethod
    def from_weights(cls, weights: HieraWeights, source: str, device: str = "auto") -> Self:
        """Build the extractor of a file's Hiera.

        Args:
            weights: the Hiera.
            source: of the weights.
            device: see :func:`~hiera_det.engine.options.choose_device`.

        Raises:
            ValueError: the weights are of no published variant.
        """
        cfg = defaults()
        cfg.MODEL.HIERA.NAME = variant_of(weights.encoder, source)
        for argument, value in trunk_arguments(weights.encoder).items():
            cfg.MODEL.HIERA[argument.upper()] = value
        cfg.MODEL.WEIGHTS = source
        cfg.MODEL.DEVICE = str(choose_device(device))
        cfg.INPUT.MAX_PIXELS = MAX_PIXELS
        cfg.FEATURES.MAPS = ["res2", "res3", "res4", "res5"]
        cfg.FEATURES.DTYPE = "fp32"
        return cls(load_extractor(cfg), Preprocess(cfg))

    @property
    def backbone(self) -> HieraBackbone:
        """The backbone: (B, 3, H, W), normalised, to its maps."""
        return self.model.backbone

    @overload
    def extract(self, source: ImageSource) -> Features: ...

    @overload
    def extract(self, source: list[ImageSource] | tuple[ImageSource, ...]) -> list[Features]: ...

    def extract(self, source: ImageSource | list[ImageSource] | tuple[ImageSource, ...]) -> Features | list[Features]:
        """Extract the features of an image, or of each of a list.

        Args:
            source: see :func:`~hiera_det.data.pixels.to_pixels`; for a video variant a clip (T, H, W, 3) of uint8 RGB.

        Raises:
            OSError, ValueError: as of :func:`~hiera_det.data.pixels.to_pixels`.
        """
        if isinstance(source, list | tuple):
            return [self.extract(one) for one in source]
        pixels = _clip(source) if self.model.input_dims == 3 else to_pixels(source, **self._preprocess.reading)
        tensor, _ = self._preprocess(pixels, torch.zeros(0, 4))
        found = self.model([tensor], [torch.zeros(0, 4)])
        maps = {
            name: cut(value[0], tensor, self.model.strides[name]).cpu().clone() for name, value in found.maps.items()
        }
        return Features(maps, found.vectors["mean"][0].cpu().clone())


def _clip(source: ImageSource) -> np.ndarray:
    if not isinstance(source, np.ndarray) or source.ndim != 4 or source.shape[3] != 3 or source.dtype != np.uint8:
        raise ValueError("expected a clip, an array (T, H, W, 3) of uint8, RGB: the weights are of a video variant")
    return source
