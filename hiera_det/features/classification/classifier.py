"""A Hiera with its head, on single images or clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiera_det.data.pixels import to_pixels
from hiera_det.engine.options import choose_device
from hiera_det.features.classification.clip import read_center_clip
from hiera_det.features.classification.labels import labels_of
from hiera_det.features.classification.transforms import Transform, clip_transform, image_transform, read_transform
from hiera_det.hiera.model import Hiera, build_hiera
from hiera_det.weights.config_json import check_published, is_own, read_config
from hiera_det.weights.formats import CLASSIFIER, HieraWeights
from hiera_det.weights.hiera import load_hiera, read_hiera
from hiera_det.weights.source import file_beside
from hiera_det.weights.variant import input_size_of, variant_of

__all__ = ["Classifier", "load_classifier"]

MAX_ASPECT = 100  # of an image; thinner ones would grow very large before their centre is cut out


class Classifier:
    """Probabilities of classes for an image or a clip.

    Args:
        model: it is put into evaluation mode.
        transform: from pixels to the model's input.
        labels: a name for each class.
        device: to compute on, see :func:`~hiera_det.engine.options.choose_device`.

    Attributes:
        num_frames: of a clip; 0: images are classified.

    Raises:
        ValueError: there are not as many labels as classes.
    """

    def __init__(self, model: Hiera, transform: Transform, labels: Sequence[str], device: str = "auto") -> None:
        classes = model.head.projection.out_features
        if len(labels) != classes:
            raise ValueError(f"{len(labels)} labels for a model of {classes} classes")
        self.device = choose_device(device)
        self.model = model.to(self.device).eval()
        self.transform = transform
        self.labels = list(labels)
        is_clip = len(model.patch_stride) == 3
        self.num_frames = model.pos_embed_grid[0] * model.patch_stride[0] if is_clip else 0

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> Tensor:
        """Classify.

        Args:
            pixels: an image (H, W, 3) or a clip (T, H, W, 3), uint8 RGB, 0-255.

        Returns:
            (K,) probabilities, on the CPU.

        Raises:
            ValueError: the array is of another shape or type, or a side of more than `MAX_ASPECT` times the other.
        """
        dims = 4 if self.num_frames else 3
        if pixels.ndim != dims or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
            expected = "a clip (T, H, W, 3)" if self.num_frames else "an image (H, W, 3)"
            raise ValueError(f"expected {expected} of uint8, RGB; got {pixels.shape} of {pixels.dtype}")
        short, long = sorted(pixels.shape[-3:-1])
        if long > MAX_ASPECT * short:
            raise ValueError(
                f"{long} x {short} pixels: expected at most {MAX_ASPECT} times as long as wide; cut it first"
            )
        return self.model(self.transform(pixels)[None].to(self.device))[0].cpu()

    def read(self, source: Any) -> np.ndarray:
        """Read what is classified: an image (H, W, 3), or of a video the clip in its middle (T, H, W, 3), uint8 RGB.

        Args:
            source: of images see :func:`~hiera_det.data.pixels.to_pixels`; of clips the path of a video, or an array.

        Raises:
            OSError, ValueError: it cannot be read, or is of another kind.
        """
        if not self.num_frames:
            return to_pixels(source)
        if isinstance(source, str | Path):
            return read_center_clip(Path(source), self.num_frames)
        if isinstance(source, np.ndarray):
            return source
        raise ValueError(f"expected the path of a video or a clip (T, H, W, 3); got a {type(source).__name__}")

    def predict(self, source: Any, *, top_k: int = 5) -> Any:
        """Give the most probable classes of an image or a clip, or of each of a list.

        Args:
            source: see :meth:`read`; of a list or tuple, a list comes back.
            top_k: so many classes.

        Returns:
            A list of ``{"category_id": counted from 0, "label": its name, "score": its probability}``, the most
            probable first.

        Raises:
            OSError, ValueError: it cannot be read, is of another kind, or there are fewer than ``top_k`` classes.
        """
        if isinstance(source, list | tuple):
            return [self.predict(one, top_k=top_k) for one in source]
        if not 1 <= top_k <= len(self.labels):
            raise ValueError(f"the {top_k} most probable classes are wanted; expected 1 to {len(self.labels)}")
        scores, indices = self(self.read(source)).topk(top_k)
        return [
            {"category_id": index, "label": self.labels[index], "score": score}
            for index, score in zip(indices.tolist(), scores.tolist(), strict=True)
        ]


def load_classifier(source: str, device: str = "auto") -> Classifier:
    """The classifier that weights are of: variant, input size and classes come from them.

    Where a ``config.json`` of this package or of the original is beside the weights, the model is built from it. An
    image is transformed as the original does, or as the ``preprocessor_config.json`` beside the weights says; a clip as
    the original does. Labels are those of the ``config.json`` beside the weights, or of ImageNet-1k and Kinetics-400.

    Args:
        source: see :func:`~hiera_det.weights.source.local_file`.
        device: see :class:`Classifier`.

    Raises:
        FileNotFoundError: the weights cannot be had.
        ValueError: they cannot be read, lack a classifier or a part of it, or are of no published variant; or a file
            beside them does not fit them.
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
    if size[-2] != size[-1] or min(size) < 1:
        raise ValueError(f"{source} is of a model for {size[-2]} x {size[-1]} pixels; expected squares")
    if missing := load_hiera(model, weights, source).missing:
        raise ValueError(f"{source}: tensors of other shapes than the model's: {', '.join(missing)}")
    labels = labels_of(config, model.head.projection.out_features, source, clips=len(size) == 3)
    if len(size) == 3:
        transform = clip_transform(size[-1])
    else:
        settings = file_beside(source, "preprocessor_config.json")
        transform = read_transform(settings) if settings else image_transform(size[-1])
    return Classifier(model, transform, labels, device)


def _built(weights: HieraWeights, config: Mapping[str, Any], source: str) -> Hiera:
    """The model that the weights are of, its own yet to be loaded."""
    if is_own(config):
        try:
            return Hiera(**config)
        except (TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:  # of sizes below 1, too
            raise ValueError(f"the config.json beside {source} describes no Hiera ({error})") from error
    head = weights.classifier["head.projection.weight"]
    if head.ndim != 2:
        raise ValueError(f"{source}: head.projection.weight is of shape {tuple(head.shape)}, expected (classes, C)")
    variant = variant_of(weights.encoder, source)
    check_published(config, variant, source)
    model = build_hiera(variant, num_classes=len(head), input_size=input_size_of(weights.encoder, source))
    assert isinstance(model, Hiera)
    return model
