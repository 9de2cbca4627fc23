"""Position embeddings at any size: resized as a whole, or "absolute win" (arXiv 2311.05613, section 3).

Mask-unit attention makes the learned embedding partly a pattern of one mask unit. Resizing the whole embedding
stretches that pattern over mask units that stay 8 x 8; "absolute win" tiles it and resizes only the rest.
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from hiera_det.hiera.tokens import Size

__all__ = ["absolute_win", "as_grid", "resize", "resize_grid", "resize_temporal", "split_absolute_win", "split_plain"]


def resize(embed: Tensor, size: Size) -> Tensor:
    """Resize (1, C, h, w) to (1, C, *size), bicubic without antialiasing, as SAM 2; the same size is the identity.

    Two matrix products, one for each side, in float32 or better: ``F.interpolate`` takes several times as long on a
    CPU, and on a GPU its gradient is not deterministic. What is resized is channels last in memory, as patches are.
    """
    if tuple(embed.shape[-2:]) == size:
        return embed
    device = embed.device.type
    # "meta" has no autocast to turn off
    with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
        x = embed[0].to(torch.promote_types(embed.dtype, torch.float32))  # (C, h, w)
        rows, columns = (_bicubic(n, new, x) for n, new in zip(x.shape[1:], size, strict=True))
        x = (x.flatten(0, 1) @ columns.T).unflatten(0, x.shape[:2])  # (C, h, W)
        x = rows @ x.permute(1, 2, 0).flatten(1)  # (H, W * C)
    return x.unflatten(1, (size[1], -1)).permute(2, 0, 1)[None].to(embed.dtype)


def _bicubic(length: int, new: int, like: Tensor) -> Tensor:
    """The weights (new, length) of bicubic interpolation along one side: the identity, interpolated."""
    identity = torch.eye(length, dtype=like.dtype, device=like.device)[None, None]
    return F.interpolate(identity, size=(new, length), mode="bicubic", align_corners=False)[0, 0]


def absolute_win(embed: Tensor, window: Tensor, size: Size) -> Tensor:
    """The global part (1, C, h, w) resized, plus the window part (1, C, wh, ww) tiled from the top left corner.

    Returns:
        (1, C, *size). Every window begins with the window part's first row and column, at any size.
    """
    channels_last = torch.channels_last  # as the patches come
    rest = resize(embed, size).contiguous(memory_format=channels_last)
    y, x = (torch.arange(n, device=window.device) % w for n, w in zip(size, window.shape[-2:], strict=True))
    rows = window[..., x].contiguous(memory_format=channels_last)  # (1, C, wh, W)
    return rest + rows[:, :, y]


def split_absolute_win(plain: Tensor, window_size: Size) -> tuple[Tensor, Tensor]:
    """Split a plain embedding (1, C, H, W) into a global part of its size and a window part.

    The window part is the mean over the tiles, the global part the rest: at H x W their sum is the plain embedding.

    Raises:
        ValueError: windows do not tile the embedding.
    """
    height, width = plain.shape[-2:]
    wh, ww = window_size
    if height % wh or width % ww:
        raise ValueError(f"windows of {wh} x {ww} tokens do not tile a position embedding of {height} x {width}")
    tiles = plain.unflatten(3, (-1, ww)).unflatten(2, (-1, wh))  # (1, C, H / wh, wh, W / ww, ww)
    window = tiles.mean(dim=(2, 4))  # (1, C, wh, ww)
    return plain - window.tile(1, 1, height // wh, width // ww), window


def as_grid(plain: Tensor, own: Size | None = None) -> Tensor | None:
    """Put a plain embedding (1, H * W, C) in space: (1, C, H, W).

    Args:
        plain: the embedding.
        own: the model's own H, W in tokens; an embedding of another number of tokens must be square.

    Returns:
        None: its H and W cannot be told.
    """
    if plain.ndim != 3:
        return None
    side = math.isqrt(plain.shape[1])
    size = next((s for s in (own, (side, side)) if s and math.prod(s) == plain.shape[1]), None)
    return None if size is None else plain.transpose(1, 2).unflatten(2, size)


def split_plain(state: dict[str, Tensor], unit: Size, own: Size | None = None, prefix: str = "") -> None:
    """Split a plain embedding in a state dict, in place; one that is split already, or of unknown H and W, stays.

    Args:
        state: ``pos_embed`` or, for video, ``pos_embed_spatial`` (1, H * W, C) becomes (1, C, H, W), and
            ``pos_embed_window`` (1, C, *unit) is added.
        unit: tokens along each side of a mask unit.
        own: as of :func:`as_grid`.
        prefix: of the names.

    Raises:
        ValueError: mask units do not tile the embedding.
    """
    for key in (prefix + "pos_embed", prefix + "pos_embed_spatial"):
        if key in state and (grid := as_grid(state[key], own)) is not None:
            state[key], window = split_absolute_win(grid, unit)
            state.setdefault(prefix + "pos_embed_window", window)


def resize_temporal(embed: Tensor, frames: int) -> Tensor:
    """Resize (1, T, C) to (1, frames, C), linearly; the same length is the identity."""
    if embed.shape[1] == frames:
        return embed
    return F.interpolate(embed.transpose(1, 2), size=frames, mode="linear", align_corners=False).transpose(1, 2)


def resize_grid(embed: Tensor, size: Size) -> Tensor:
    """Resize (1, C, (t,) h, w) to (1, C, *size), in space as :func:`resize`, in time as :func:`resize_temporal`."""
    if embed.ndim == 4:
        return resize(embed, size)
    folded = resize(embed.flatten(1, 2), size[-2:]).unflatten(1, embed.shape[1:3])  # (1, C, t, H, W)
    steps = resize_temporal(folded.transpose(1, 2).flatten(2), size[0])  # (1, T, C * H * W)
    return steps.unflatten(2, (embed.shape[1], *size[-2:])).transpose(1, 2)
