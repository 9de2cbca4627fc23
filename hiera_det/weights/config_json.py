"""``config.json`` beside weights: it tells of a model what the shapes of its tensors do not."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from hiera_det.hiera.encoder import HieraEncoder
from hiera_det.hiera.variants import variant_arguments
from hiera_det.utils.json_text import read_json_object
from hiera_det.utils.nested import shown
from hiera_det.weights.source import file_beside
from hiera_det.weights.transformers_config import model_config

__all__ = ["check_published", "is_own", "read_config"]

_OWN = {"embed_dim", "stages", "head_dropout", "out_norm", "layout"}  # arguments, some of which every such file has
_SHAPELESS = (  # arguments of an encoder that change what it computes, but no tensor
    "num_heads",
    "head_mul",
    "q_pool",
    "q_stride",
    "mask_unit_size",
    "mask_unit_attn",
    "patch_stride",
    "patch_padding",
    "norm_layer",
)


def read_config(source: str) -> dict[str, Any]:
    """The ``config.json`` beside weights; empty where there is none.

    Args:
        source: see :func:`~hiera_det.weights.source.local_file`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a JSON file of an object, or of values out of all proportion.
    """
    path = file_beside(source, "config.json")
    if path is None:
        return {}
    return read_json_object(path)


def is_own(config: Mapping[str, Any]) -> bool:
    """Whether it holds the arguments of a model of this package or of the original, as ``save_pretrained`` writes."""
    return "model_type" not in config and bool(_OWN & config.keys())


def check_published(config: Mapping[str, Any], variant: str, source: str, *, windowed: bool = False) -> None:
    """Check that the model of a config computes what the published variant does, as far as the config says.

    Args:
        config: of this package, the original or transformers; others say nothing of it.
        variant: of the weights, a name of :data:`~hiera_det.hiera.variants.VARIANTS` or ``MAE_VARIANTS``.
        source: of the weights, for the message.
        windowed: the windows and the size of the stored position embedding do not matter.

    Raises:
        ValueError: it computes something else; the message lists every difference.
    """
    if is_own(config):
        given, published = _encoder_arguments(config, variant, source)
        names = [*_SHAPELESS, *(() if windowed else ("layout", "pos_embed_size"))]
    elif config.get("model_type") == "hiera":
        published = model_config(variant.removeprefix("mae_"), 0, 0, {} if variant.startswith("mae_") else None)
        given = {**model_config("hiera_base_224", 0, 0), **config}  # transformers' defaults are this variant's
        names = [name for name in published if name not in ("architectures", "model_type", "image_size")]
    else:
        return
    lines = [
        f"{name} is {shown(given[name])}, of {variant} {published[name]!r}"
        for name in names
        if _listed(given[name]) != _listed(published[name])
    ]
    if lines:
        raise ValueError(
            f"{source}: by the config.json beside it, the model is not the published {variant}:"
            + "".join(f"\n  {line}" for line in lines)
        )


def _encoder_arguments(config: Mapping[str, Any], variant: str, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the config's model, which may be a backbone, and of the published one."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(HieraEncoder).parameters.items()}
    name = config.get("name")
    if not isinstance(name, str | None):
        raise ValueError(f"{source}: the name in the config.json beside it is {shown(name)}, expected text")
    given = {**defaults, **({} if name is None else variant_arguments(name)), **config}
    for key in ("input_size", "patch_stride"):
        if not isinstance(given[key], list | tuple) or not all(type(it) is int and it > 0 for it in given[key]):
            there = f"{key} in the config.json beside it is {shown(given[key])}"
            raise ValueError(f"{source}: {there}, expected a list of integers above 0")
    grid = [n // stride for n, stride in zip(given["input_size"], given["patch_stride"], strict=True)]
    if _listed(given["pos_embed_size"]) == grid[-2:]:
        given["pos_embed_size"] = None  # the same, said in full
    return given, {**defaults, **variant_arguments(variant)}


def _listed(value: Any) -> Any:
    """Sequences are lists in JSON."""
    return list(value) if isinstance(value, tuple) else value
