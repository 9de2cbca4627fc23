"""What stands beside the weights in a folder of transformers: the model's config and the image processor's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hiera_det.hiera.variants import variant_arguments

__all__ = ["model_config", "processor_config"]


def model_config(variant: str, num_classes: int, side: int, decoder: Mapping[str, int] | None = None) -> dict[str, Any]:
    """``config.json`` of transformers' Hiera.

    Args:
        variant: a name of :data:`~hiera_det.hiera.variants.VARIANTS`, for images.
        num_classes: of the classifier; 0: there is none.
        side: of the square image that the position embedding is for, in pixels.
        decoder: of a masked autoencoder ``decoder_hidden_size``, ``decoder_depth`` and ``decoder_num_heads``.
    """
    arguments = variant_arguments(variant)
    heads, stages = arguments["num_heads"], arguments["stages"]
    config = {
        "architectures": ["HieraForImageClassification" if num_classes else "HieraModel"],
        "model_type": "hiera",
        "embed_dim": arguments["embed_dim"],
        "image_size": [side, side],
        "depths": list(stages),
        "num_heads": [heads * 2**stage for stage in range(len(stages))],
        "patch_size": [7, 7],
        "patch_stride": [4, 4],
        "patch_padding": [3, 3],
        "mlp_ratio": 4.0,
        "embed_dim_multiplier": 2.0,
        "num_query_pool": 3,
        "query_stride": [2, 2],
        "masked_unit_size": [8, 8],
        "masked_unit_attention": [True, True, False, False],
        "num_channels": 3,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
    }
    if decoder is not None:
        return {**config, **decoder, "architectures": ["HieraForPreTraining"], "num_query_pool": 2}
    return {**config, "num_labels": num_classes} if num_classes else config


def processor_config(side: int) -> dict[str, Any]:
    """``preprocessor_config.json``: the original's evaluation, a centre crop of 7/8 of the shorter side.

    Args:
        side: as of :func:`model_config`.
    """
    return {
        "image_processor_type": "BitImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": side * 8 // 7},
        "resample": 3,  # PIL's bicubic
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "do_convert_rgb": True,
    }
