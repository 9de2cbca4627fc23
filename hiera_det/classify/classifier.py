"""A Hiera with its head, on single photos or clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiera_det.checkpoints.load import load_hiera, read_hiera
from hiera_det.checkpoints.source import file_beside
from hiera_det.checkpoints.variant import input_size_of, variant_of
from hiera_det.classify.clips import ClipProcessor
from hiera_det.classify.images import ImageProcessor, original_processor, read_processor
from hiera_det.classify.labels import labels_of, published_labels
from hiera_det.hiera.model import Hiera, build_hiera

__all__ = ["Classifier", "load_classifier"]

_HEAD = {"norm.weight", "norm.bias", "head.projection.weight", "head.projection.bias"}


class Classifier:
    """Probabilities of classes for a photo or a clip.

    Args:
        model: it is put into evaluation mode.
        process: from pixels to the model's input.
        labels: a name for each class.

    Attributes:
        model: the Hiera.
        process: see above.
        labels: see above.
        num_frames: of a clip; 0: photos are classified.

    Raises:
        ValueError: there are not as many labels as classes.
    """

    def __init__(self, model: Hiera, process: ImageProcessor | ClipProcessor, labels: Sequence[str]) -> None:
        classes = model.head.projection.out_features
        if len(labels) != classes:
            raise ValueError(f"{len(labels)} labels for a model of {classes} classes")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device).eval()
        self.process = process
        self.labels = list(labels)
        is_clip = len(model.patch_stride) == 3
        self.num_frames = model.pos_embed_grid[0] * model.patch_stride[0] if is_clip else 0

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> Tensor:
        """Classify.

        Args:
            pixels: a photo (H, W, 3) or a clip (T, H, W, 3), uint8 RGB, 0-255.

        Returns:
            (K,) probabilities, on the CPU.

        Raises:
            ValueError: the array is of another shape or type.
        """
        dims = 4 if self.num_frames else 3
        if pixels.ndim != dims or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
            expected = "a clip (T, H, W, 3)" if self.num_frames else "a photo (H, W, 3)"
            raise ValueError(f"expected {expected} of uint8, RGB; got {pixels.shape} of {pixels.dtype}")
        return self.model(self.process(pixels)[None].to(self.device))[0].cpu()


def load_classifier(source: str) -> Classifier:
    """The classifier that weights are of: variant, input size and classes come from them.

    A photo is processed as the original does, or as the ``preprocessor_config.json`` beside the weights says; a clip as
    the original does. Labels are those of the ``config.json`` beside the weights, or of ImageNet-1k and Kinetics-400.

    Args:
        source: see :func:`~hiera_det.checkpoints.source.local_file`.

    Raises:
        FileNotFoundError: the weights cannot be had.
        ValueError: they cannot be read, have no classifier, or are of no published variant; or a file beside them does
            not fit them.
    """
    weights = read_hiera(source)
    if missing := sorted(_HEAD - weights.classifier.keys()):
        raise ValueError(
            f"{source} (format {weights.file_format}) has no classifier: {', '.join(missing)} missing. Backbones,"
            " detectors and MAE's weights have none; name weights of a classifier, such as"
            " hiera_base_224.mae_in1k_ft_in1k"
        )
    config = _config(source)
    if (layout := config.get("layout", "released")) != "released":
        raise ValueError(
            f"{source} is of layout {layout!r} by its config.json; expected a published model's, 'released'"
        )
    size = input_size_of(weights.encoder, source)
    num_classes = len(weights.classifier["head.projection.weight"])
    model = build_hiera(variant_of(weights.encoder, source), num_classes=num_classes, input_size=size)
    load_hiera(model, weights, source)
    labels = labels_of(config, num_classes, source) or published_labels(num_classes, clips=len(size) == 3)
    return Classifier(model, _processor(source, size), labels)


def _config(source: str) -> dict[str, Any]:
    """The ``config.json`` beside the weights; empty where there is none."""
    path = file_beside(source, "config.json")
    if path is None:
        return {}
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not a JSON file ({error})") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds a {type(config).__name__}, expected an object")
    return config


def _processor(source: str, size: tuple[int, ...]) -> ImageProcessor | ClipProcessor:
    if len(size) == 3:
        return ClipProcessor(size[-1])
    settings = file_beside(source, "preprocessor_config.json")
    return read_processor(settings) if settings else original_processor(size[-1])
