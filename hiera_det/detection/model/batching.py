"""Images of several sizes to one normalised, padded batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from hiera_det.config import CfgNode


class Batching(nn.Module):
    """Normalise images and pad them to a batch with zeros, to the right and below.

    Behaviour matched: ``preprocess_image`` in detectron2/modeling/meta_arch/rcnn.py and ``from_tensors`` in
    detectron2/structures/image_list.py, which cuts an image larger than its square; here it is an error.

    Args:
        mean: by channel, 0-255, in the images' channel order.
        std: by channel.
        square: side in pixels of the batch, whatever the images' sizes; 0: the largest height and width.
        divisor: of the batch's height and width, in pixels.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, mean: list[float], std: list[float], square: int, divisor: int) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.square = square
        self.divisor = divisor

    def forward(self, images: list[Tensor]) -> ImageList:
        """Batch images.

        Args:
            images: (C, H, W) each, uint8 or float, 0-255.

        Returns:
            ``tensors`` (B, C, height, width) float32, and ``image_sizes``, each image's (height, width).

        Raises:
            ValueError: no images, one of another shape, or one larger than ``square``.
        """
        channels = len(self.pixel_mean)
        for image in images:
            if image.dim() != 3 or image.shape[0] != channels:
                raise ValueError(f"an image has shape {tuple(image.shape)}; expected ({channels}, height, width)")
        sizes = [(image.shape[1], image.shape[2]) for image in images]
        height, width = self._size(sizes)
        batch = self.pixel_mean.new_zeros(len(images), channels, height, width)
        for row, image, (h, w) in zip(batch, images, sizes, strict=True):
            row[:, :h, :w] = (image.to(batch.device) - self.pixel_mean) / self.pixel_std
        return ImageList(batch, sizes)

    def _size(self, sizes: list[tuple[int, int]]) -> tuple[int, int]:
        if not sizes:
            raise ValueError("there are no images to batch; expected at least one")
        height, width = (max(side) for side in zip(*sizes, strict=True))
        if self.square:
            if max(height, width) > self.square:
                raise ValueError(
                    f"an image of {height} x {width} pixels does not fit MODEL.HIERA.SQUARE_PAD {self.square}"
                    "; lower INPUT.MAX_SIZE_TRAIN or INPUT.MAX_SIZE_TEST, or raise SQUARE_PAD (0: no square)"
                )
            height = width = self.square
        return -(-height // self.divisor) * self.divisor, -(-width // self.divisor) * self.divisor


def build_batching(cfg: CfgNode, divisor: int) -> Batching:
    """The batching of ``MODEL.PIXEL_MEAN``, ``MODEL.PIXEL_STD`` and ``MODEL.HIERA.SQUARE_PAD``."""
    return Batching(list(cfg.MODEL.PIXEL_MEAN), list(cfg.MODEL.PIXEL_STD), cfg.MODEL.HIERA.SQUARE_PAD, divisor)
