"""A frozen Hiera with the weights of a file: a published classifier, or a trained detector."""

from __future__ import annotations

from collections.abc import Mapping

from fvcore.common.config import CfgNode
from torch import Tensor

from hiera_det.engine.options import available_device
from hiera_det.features.extractor import FeatureExtractor
from hiera_det.weights.formats import CLASSIFIER
from hiera_det.weights.hiera import load_hiera, read_hiera

__all__ = ["load_extractor"]


def load_extractor(cfg: CfgNode) -> FeatureExtractor:
    """The extractor of a config, with the weights ``MODEL.WEIGHTS`` names, on the device that it names.

    Args:
        cfg: ``MODEL.WEIGHTS`` is a source of :func:`~hiera_det.weights.load.load_weights`, in any of its formats; of a
            detector the backbone is taken.

    Raises:
        FileNotFoundError: the file cannot be had.
        ValueError: none is named, it holds no Hiera or another one, or logits are wanted and it has no classifier.
    """
    source = cfg.MODEL.WEIGHTS
    if source == "":
        raise ValueError("MODEL.WEIGHTS is empty: features of an untrained model are of no use; name a file or URL")
    weights = read_hiera(source)
    classifier = weights.classifier
    wants_logits = "logits" in cfg.FEATURES.VECTORS
    if wants_logits and not set(CLASSIFIER) <= classifier.keys():
        raise ValueError(f"FEATURES.VECTORS has logits, but {source} has no classifier; leave them out")
    model = FeatureExtractor(cfg, classifier["head.projection.bias"].numel() if wants_logits else 0)
    if wants_logits:
        weights.classifier = {}  # not dropped: it goes to the extractor
    report = load_hiera(model, weights, source)
    if missing := [key for key in report.missing if ".norm_res" in key]:
        raise ValueError(
            f"MODEL.HIERA.NORM is {cfg.MODEL.HIERA.NORM!r}, but {source} has no {', '.join(missing)}; set it to ''"
        )
    if wants_logits:
        _load_classifier(model, classifier, source)
    return model.to(available_device(cfg.MODEL.DEVICE))


def _load_classifier(model: FeatureExtractor, classifier: Mapping[str, Tensor], source: str) -> None:
    for key in CLASSIFIER:
        own = model.get_parameter(key.removeprefix("head.")).data
        if classifier[key].shape != own.shape:
            raise ValueError(
                f"{source}: the classifier is damaged: {key} is of shape {tuple(classifier[key].shape)}, expected"
                f" {tuple(own.shape)}"
            )
        own.copy_(classifier[key])
