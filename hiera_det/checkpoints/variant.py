"""Which published variant an encoder's state dict is of."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor

from hiera_det.hiera.variants import VARIANTS

__all__ = ["input_size_of", "stages_of", "variant_of"]


def stages_of(encoder: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Blocks by stage: the first block of each stage but the first changes the channels, and so has a ``proj``.

    Args:
        encoder: under the original's names.
    """
    blocks = 1 + max(int(key.split(".")[1]) for key in encoder if key.startswith("blocks."))
    firsts = sorted(int(match[1]) for key in encoder if (match := re.fullmatch(r"blocks\.(\d+)\.proj\.weight", key)))
    edges = [0, *firsts, blocks]
    return tuple(end - start for start, end in pairwise(edges))


def variant_of(encoder: Mapping[str, Tensor], source: str) -> str:
    """The name of the variant, such as "hiera_base_224".

    Args:
        encoder: under the original's names.
        source: where it is from, for the message.

    Raises:
        ValueError: it is none of the published ones.
    """
    kernel, stages = encoder["patch_embed.proj.weight"], stages_of(encoder)
    for name, arguments in VARIANTS.items():
        is_clip = "sep_pos_embed" in arguments
        if (len(kernel), stages, kernel.ndim == 5) == (arguments["embed_dim"], tuple(arguments["stages"]), is_clip):
            return name
    raise ValueError(
        f"{source}: {len(kernel)} channels and stages of {stages} blocks are no published variant; there are "
        + ", ".join(VARIANTS)
    )


def input_size_of(encoder: Mapping[str, Tensor], source: str) -> tuple[int, ...]:
    """The input's size, (T,) H, W, that the position embedding is for; of one in two parts, the variant's own H, W.

    Args:
        encoder: under the original's names.
        source: where it is from, for messages.

    Raises:
        ValueError: it is none of the published variants, or its embedding is not square.
    """
    arguments = VARIANTS[variant_of(encoder, source)]
    *_, height, width = arguments.get("input_size", (224, 224))
    *frames, stride, _ = arguments.get("patch_stride", (4, 4))
    clip = [steps.shape[1] * frames[0]] if (steps := encoder.get("pos_embed_temporal")) is not None else []
    embed = encoder.get("pos_embed_spatial", encoder.get("pos_embed"))
    if embed is not None and "pos_embed_window" not in encoder:
        side = math.isqrt(embed.shape[1])
        if side**2 != embed.shape[1]:
            raise ValueError(f"{source}: a position embedding of {embed.shape[1]} tokens is not square")
        height = width = side * stride
    return *clip, height, width
