"""The masked autoencoder of a config."""

from __future__ import annotations

import math

from fvcore.common.config import CfgNode

from hiera_det.hiera.mae import MaskedAutoencoderHiera
from hiera_det.hiera.masking import kept_number
from hiera_det.hiera.variants import variant_arguments

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
        ValueError: ``INPUT.SIZE`` is no height and width.
    """
    size = tuple(cfg.INPUT.SIZE)
    if len(size) != 2 or not all(isinstance(side, int) for side in size):
        raise ValueError(f"INPUT.SIZE is {cfg.INPUT.SIZE}; expected height and width in pixels, such as [224, 224]")
    is_clip = "sep_pos_embed" in variant_arguments(cfg.MODEL.HIERA.NAME)
    if is_clip and len(cfg.MODEL.PIXEL_MEAN) != 3:
        raise ValueError(f"MODEL.PIXEL_MEAN has {len(cfg.MODEL.PIXEL_MEAN)} values; clips have 3 channels")
    return (cfg.INPUT.NUM_FRAMES, *size) if is_clip else size


def mask_units(cfg: CfgNode) -> int:
    """How many mask units an input of a config has.

    Raises:
        ValueError: mask units do not tile it, or ``MODEL.MAE.MASK_RATIO`` leaves nothing to keep or to drop.
    """
    arguments = variant_arguments(cfg.MODEL.HIERA.NAME)
    strides, unit = arguments.get("patch_stride", (4, 4)), arguments.get("mask_unit_size", (8, 8))
    sides = [stride * side for stride, side in zip(strides, unit, strict=True)]
    size = input_size(cfg)
    if any(n < 1 or n % side for n, side in zip(size, sides, strict=True)):
        raise ValueError(
            f"INPUT.SIZE is {list(cfg.INPUT.SIZE)}"
            + (f" and INPUT.NUM_FRAMES {cfg.INPUT.NUM_FRAMES}" if len(size) == 3 else "")
            + f"; expected multiples of {' x '.join(map(str, sides))}, the pixels of a mask unit"
        )
    units = math.prod(n // side for n, side in zip(size, sides, strict=True))
    try:
        kept_number(units, cfg.MODEL.MAE.MASK_RATIO)
    except ValueError as error:
        raise ValueError(f"MODEL.MAE.MASK_RATIO, INPUT.SIZE: {error}") from error
    return units
