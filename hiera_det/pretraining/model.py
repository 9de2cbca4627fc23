"""The masked autoencoder of a config."""

from __future__ import annotations

import math

import torch
from fvcore.common.config import CfgNode

from hiera_det.hiera.mae import MaskedAutoencoderHiera
from hiera_det.hiera.masking import kept_number
from hiera_det.hiera.variants import is_video, variant_arguments

__all__ = ["build_model", "input_size", "mask_units"]


def build_model(cfg: CfgNode) -> MaskedAutoencoderHiera:
    """Build the autoencoder of ``MODEL.HIERA`` and ``MODEL.MAE``; its embedding is of the variant's own input size.

    Raises:
        ValueError: a key has a value that makes no sense.
    """
    hiera, mae = cfg.MODEL.HIERA, cfg.MODEL.MAE
    changes = {"embed_dim": hiera.EMBED_DIM, "num_heads": hiera.NUM_HEADS, "stages": hiera.STAGES}
    arguments = variant_arguments(f"mae_{hiera.NAME.removeprefix('mae_')}")
    arguments |= {name: value for name, value in changes.items() if value is not None}
    del arguments["global_blocks"]  # of the windowed layout
    return MaskedAutoencoderHiera(
        **arguments,
        in_chans=len(cfg.MODEL.PIXEL_MEAN),
        layout=hiera.LAYOUT,
        pos_embed=hiera.POS_EMBED,
        drop_path_rate=hiera.DROP_PATH_RATE,
        activation_checkpointing=hiera.ACTIVATION_CHECKPOINTING,
        target=mae.TARGET,
        normalize_target=mae.NORMALIZE_TARGET,
        multi_scale=mae.MULTI_SCALE,
        decoder_embed_dim=mae.DECODER_EMBED_DIM,
        decoder_depth=mae.DECODER_DEPTH,
        decoder_num_heads=mae.DECODER_NUM_HEADS,
    )


def input_size(cfg: CfgNode) -> tuple[int, ...]:
    """The (T,) H, W of what the model of a config sees.

    Raises:
        ValueError: it sees clips, but not of 3 channels.
    """
    is_clip = is_video(cfg.MODEL.HIERA.NAME)
    if is_clip and len(cfg.MODEL.PIXEL_MEAN) != 3:
        raise ValueError(f"MODEL.PIXEL_MEAN has {len(cfg.MODEL.PIXEL_MEAN)} values; clips have 3 channels")
    return (cfg.INPUT.NUM_FRAMES, *cfg.INPUT.SIZE) if is_clip else tuple(cfg.INPUT.SIZE)


def mask_units(cfg: CfgNode) -> int:
    """How many mask units an input of a config has; the model is built without memory, so that its keys are checked.

    Raises:
        ValueError: mask units do not tile it, or ``MODEL.MAE.MASK_RATIO`` leaves nothing to keep or to drop.
    """
    with torch.device("meta"):
        model = build_model(cfg)
    try:
        units = math.prod(model.mask_units(input_size(cfg)))
        kept_number(units, cfg.MODEL.MAE.MASK_RATIO)
    except ValueError as error:
        raise ValueError(f"INPUT.SIZE, INPUT.NUM_FRAMES and MODEL.MAE.MASK_RATIO do not fit: {error}") from error
    return units
