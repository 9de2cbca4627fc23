"""A Hiera with its head, on single photos or clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiera_det.classification.clips import ClipProcessor
from hiera_det.classification.images import ImageProcessor, original_processor, read_processor
from hiera_det.classification.labels import labels_of, published_labels
from hiera_det.hiera.model import Hiera, build_hiera
from hiera_det.weights.config_json import check_published, is_own, read_config
from hiera_det.weights.formats import CLASSIFIER, HieraWeights
from hiera_det.weights.hiera import load_hiera, read_hiera
from hiera_det.weights.source import file_beside
from hiera_det.weights.variant import input_size_of, variant_of

__all__ = ["Classifier", "load_classifier"]


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

    Where a ``config.json`` of this package or of the original is beside the weights, the model is built from it. A
    photo is processed as the original does, or as the ``preprocessor_config.json`` beside the weights says; a clip as
    the original does. Labels are those of the ``config.json`` beside the weights, or of ImageNet-1k and Kinetics-400.

    Args:
        source: see :func:`~hiera_det.weights.source.local_file`.

    Raises:
        FileNotFoundError: the weights cannot be had.
        ValueError: they cannot be read, have no whole classifier, or are of no published variant; or a file beside them
            does not fit them.
    """
    weights = read_hiera(source)
    if missing := sorted(set(CLASSIFIER) - weights.classifier.keys()):
        raise ValueError(
            f"{source} (format {weights.file_format}) has no classifier: {', '.join(missing)} missing. Backbones,"
            " detectors and MAE's weights have none; name weights of a classifier, such as"
            " hiera_base_224.mae_in1k_ft_in1k"
        )
    config = read_config(source)
    model = _built(weights, config, source)
    size = tuple(n * stride for n, stride in zip(model.pos_embed_grid, model.patch_stride, strict=True))
    if size[-2] != size[-1]:
        raise ValueError(f"{source} is of a model for {size[-2]} x {size[-1]} pixels; expected squares")
    if missing := load_hiera(model, weights, source).missing:
        raise ValueError(f"{source}: tensors of other shapes than the model's: {', '.join(missing)}")
    num_classes = model.head.projection.out_features
    labels = labels_of(config, num_classes, source) or published_labels(num_classes, clips=len(size) == 3)
    return Classifier(model, _processor(source, size), labels)


def _built(weights: HieraWeights, config: Mapping[str, Any], source: str) -> Hiera:
    """The model that the weights are of, its own yet to be loaded."""
    if is_own(config):
        try:
            return Hiera(**config)
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"the config.json beside {source} describes no Hiera ({error})") from error
    head = weights.classifier["head.projection.weight"]
    if head.ndim != 2:
        raise ValueError(f"{source}: head.projection.weight is of shape {tuple(head.shape)}, expected (classes, C)")
    variant = variant_of(weights.encoder, source)
    check_published(config, variant, source)
    return build_hiera(variant, num_classes=len(head), input_size=input_size_of(weights.encoder, source))


def _processor(source: str, size: tuple[int, ...]) -> ImageProcessor | ClipProcessor:
    if len(size) == 3:
        return ClipProcessor(size[-1])
    settings = file_beside(source, "preprocessor_config.json")
    return read_processor(settings) if settings else original_processor(size[-1])
