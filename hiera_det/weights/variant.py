"""Which published variant an encoder's state dict is of."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor

from hiera_det.hiera.variants import VARIANTS

__all__ = ["input_size_of", "published_name", "stages_of", "variant_of"]


def stages_of(encoder: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Blocks by stage: the first block of each stage but the first changes the channels, and so has a ``proj``.

    Args:
        encoder: under the original's names.
    """
    blocks = len({match[1] for key in encoder if (match := re.match(r"blocks\.(\d+)\.", key))})
    firsts = sorted(int(match[1]) for key in encoder if (match := re.fullmatch(r"blocks\.(\d+)\.proj\.weight", key)))
    edges = [0, *firsts, blocks]
    return tuple(end - start for start, end in pairwise(edges))


def published_name(encoder: Mapping[str, Tensor]) -> str | None:
    """The name of the variant, such as "hiera_base_224"; None: it is none of the published ones.

    Args:
        encoder: under the original's names.
    """
    kernel, stages = encoder["patch_embed.proj.weight"], stages_of(encoder)
    for name, arguments in VARIANTS.items():
        dims = 5 if "sep_pos_embed" in arguments else 4
        if kernel.ndim == dims and (len(kernel), stages) == (arguments["embed_dim"], tuple(arguments["stages"])):
            return name
    return None


def variant_of(encoder: Mapping[str, Tensor], source: str) -> str:
    """The name of the variant, such as "hiera_base_224".

    Args:
        encoder: under the original's names.
        source: where it is from, for the message.

    Raises:
        ValueError: it is none of the published ones.
    """
    kernel = encoder["patch_embed.proj.weight"]
    if kernel.ndim not in (4, 5):
        raise ValueError(
            f"{source}: patch_embed.proj.weight is of shape {tuple(kernel.shape)}, expected (C, 3, 7, 7), or of a video"
            " model (C, 3, 3, 7, 7)"
        )
    if name := published_name(encoder):
        return name
    raise ValueError(
        f"{source}: {len(kernel)} channels and stages of {stages_of(encoder)} blocks are no published variant; there"
        f" are {', '.join(VARIANTS)}"
    )


def input_size_of(encoder: Mapping[str, Tensor], source: str) -> tuple[int, ...]:
    """The input's size, (T,) H, W, that the position embedding is for; of one in two parts, the variant's own H, W.

    Args:
        encoder: under the original's names.
        source: where it is from, for messages.

    Raises:
        ValueError: it is none of the published variants, or its embedding is not square or no embedding at all.
    """
    arguments = VARIANTS[variant_of(encoder, source)]
    *_, height, width = arguments.get("input_size", (224, 224))
    *frames, stride, _ = arguments.get("patch_stride", (4, 4))
    steps = encoder.get("pos_embed_temporal")
    split = "pos_embed_window" in encoder
    plain = None if split else encoder.get("pos_embed_spatial", encoder.get("pos_embed"))
    for tokens in steps, plain:
        if tokens is not None and tokens.ndim != 3:
            raise ValueError(f"{source}: a position embedding of shape {tuple(tokens.shape)}, expected (1, tokens, C)")
    clip = [steps.shape[1] * frames[0]] if steps is not None and frames else []
    if plain is not None:
        side = math.isqrt(plain.shape[1])
        if side**2 != plain.shape[1]:
            raise ValueError(f"{source}: a position embedding of {plain.shape[1]} tokens is not square")
        height = width = side * stride
    return *clip, height, width
