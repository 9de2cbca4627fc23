"""A frozen Hiera with the weights of a file: a published classifier, or a trained detector."""

from __future__ import annotations

from fvcore.common.config import CfgNode
from torch import Tensor

from hiera_det.engine.launch import available_device
from hiera_det.features.extractor import FeatureExtractor
from hiera_det.hiera.checkpoints import local_file, read_checkpoint
from hiera_det.weights import backbone_tensors

__all__ = ["load_extractor"]

_FIRST = "patch_embed.proj.weight"  # of every Hiera
_CLASSIFIER = {
    "norm.weight": "norm.weight",
    "norm.bias": "norm.bias",
    "projection.weight": "head.projection.weight",
    "projection.bias": "head.projection.bias",
}


def load_extractor(cfg: CfgNode) -> FeatureExtractor:
    """The extractor of a config, with the weights ``MODEL.WEIGHTS`` names, on the device that it names.

    Args:
        cfg: ``MODEL.WEIGHTS`` is a local file or URL: the original's format, or a checkpoint of a detector of this
            package, whose backbone is taken.

    Raises:
        FileNotFoundError: the file cannot be had.
        ValueError: none is named, it holds no Hiera or another one, or logits are wanted and it has no classifier.
    """
    state, source = _read(cfg.MODEL.WEIGHTS)
    wants_logits = "logits" in cfg.FEATURES.VECTORS
    if wants_logits and not set(_CLASSIFIER.values()) <= state.keys():
        raise ValueError(f"FEATURES.VECTORS has logits, but {source} has no classifier; leave them out")
    model = FeatureExtractor(cfg, len(state["head.projection.bias"]) if wants_logits else 0)
    own = model.state_dict()
    loaded = backbone_tensors(state, model, own, source)
    if wants_logits:
        loaded |= {ours: state[theirs] for ours, theirs in _CLASSIFIER.items()}
    if missing := sorted(own.keys() - loaded.keys()):
        raise ValueError(
            f"MODEL.HIERA.NORM is {cfg.MODEL.HIERA.NORM!r}, but {source} has no {', '.join(missing)}; set it to ''"
        )
    model.load_state_dict(loaded)
    return model.to(available_device(cfg.MODEL.DEVICE))


def _read(source: str) -> tuple[dict[str, Tensor], str]:
    """A Hiera's state dict under the original's names, and the file it is from."""
    if source == "":
        raise ValueError("MODEL.WEIGHTS is empty: features of an untrained model are of no use; name a file or URL")
    path = local_file(source)
    checkpoint = read_checkpoint(path)
    state = checkpoint.get("model_state", checkpoint.get("model", {}))
    prefixes = [key.removesuffix(_FIRST) for key in state if key.endswith(_FIRST)]
    if len(prefixes) != 1:
        raise ValueError(
            f"{path} holds {len(prefixes)} Hieras (keys {sorted(map(str, checkpoint))[:8]}); expected one, under"
            " 'model_state' (the original's format) or 'model' (a detector)"
        )
    prefix = prefixes[0]
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}, str(path)
