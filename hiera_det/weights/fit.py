"""A file's tensors made to fit a model of another input: size, channels, clip length, image to video."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hiera_det.hiera import pos_embed as pe
from hiera_det.hiera.encoder import HieraEncoder
from hiera_det.hiera.mae import MaskedAutoencoderHiera

__all__ = ["fit", "fit_channels", "fit_decoder"]

_PATCHES = "patch_embed.proj.weight"
_SPATIAL = ("pos_embed", "pos_embed_spatial")


def fit(state: dict[str, Tensor], model: HieraEncoder) -> dict[str, str]:
    """Adapt an encoder's state dict to a model, in place; what fits already stays the same to the bit.

    Image weights in a video model: the patch embedding's kernel becomes the middle one along time, between zeros
    (ViViT, arXiv 2103.15691, "central frame"), and the temporal position embedding zero. A clip that stands still then
    has in every frame the image's maps; where a plain embedding was split, only at its own size, as at others the two
    forms differ. A global part of another size than the model's is resized here and again as the model runs: a SAM 2
    trunk is the same function at all sizes only in a model with its ``pos_embed_size``.

    Weights of 3 channels in a model of another number: see :func:`fit_channels`.

    Args:
        state: under the original's names.
        model: with the position embedding to fit.

    Returns:
        What was done, by the name of the tensor.

    Raises:
        ValueError: video weights for an image model, channels that cannot be fitted, an embedding whose grid cannot be
            told, window parts of another size, or tensors that have not the dimensions of an embedding.
    """
    _check_dims(state)
    done: dict[str, str] = {}
    if _PATCHES not in state:
        return done
    is_clip, wants_clip = state[_PATCHES].ndim == 5, len(model.patch_stride) == 3
    if is_clip and not wants_clip:
        raise ValueError("the weights are a video model's, the model is for images: choose a variant such as …_16x224")
    if wants_clip and not is_clip:
        _inflate(state, model, done)
    _fit_channels(state, model, done)
    _fit_spatial(state, model, done)
    _fit_temporal(state, model, done)
    return done


def fit_decoder(
    decoder: dict[str, Tensor], model: MaskedAutoencoderHiera, encoder: Mapping[str, Tensor]
) -> dict[str, str]:
    """Fit the position embedding of a masked autoencoder's decoder to another size of the input, in place.

    Args:
        decoder: the file's; changed in place.
        model: the autoencoder.
        encoder: the file's, whose embedding tells the length of clips.

    Returns:
        What was done, by name.

    Raises:
        ValueError: the embedding is of no known height and width.
    """
    name, own = "decoder_pos_embed", model.decoder_grid
    embed = decoder.get(name)
    if embed is None or embed.ndim != 3 or 0 in embed.shape:
        return {}  # the comparison of shapes names it
    steps = tuple(encoder["pos_embed_temporal"].shape[1:2]) if "pos_embed_temporal" in encoder else ()
    if embed.shape[1] == math.prod(own) and steps == own[:-2]:
        return {}
    side = math.isqrt(embed.shape[1] // math.prod(steps))
    grid = (*steps, side, side)
    if math.prod(grid) != embed.shape[1]:
        raise ValueError(f"{name} of shape {tuple(embed.shape)} is not of square frames")
    resized = pe.resize_grid(embed.transpose(1, 2).unflatten(2, grid), own)
    decoder[name] = resized.flatten(2).transpose(1, 2).contiguous()
    return {name: f"from {' x '.join(map(str, grid))} to {' x '.join(map(str, own))}"}


def fit_channels(kernel: Tensor, channels: int) -> tuple[Tensor, str]:
    """Fit the kernel of a patch embedding to another number of channels.

    One channel: the sum over the three, so that a grey image has the features of its RGB copy where the three have one
    mean and standard deviation. More than three: the three as they are, in their order, and zeros for the others, which
    then change nothing until they are trained.

    Args:
        kernel: (C, channels of the file, ...).
        channels: of the model.

    Returns:
        The kernel, and what was done; nothing: it fits.

    Raises:
        ValueError: the file's has other than 3 channels, or the model has 2.
    """
    there = kernel.shape[1]
    if there == channels:
        return kernel, ""
    if there != 3 or channels == 2:
        raise ValueError(
            f"the weights take images of {there} channels, the model's are of {channels} (as many as MODEL.PIXEL_MEAN"
            " has values); only weights of 3 can be fitted, to 1 or to more than 3"
        )
    if channels == 1:
        return kernel.sum(1, keepdim=True), "3 channels added up to 1: grey in place of RGB"
    zeros = kernel.new_zeros(kernel.shape[0], channels - 3, *kernel.shape[2:])
    return torch.cat([kernel, zeros], 1), f"3 channels kept, zeros for the other {channels - 3}"


def _fit_channels(state: dict[str, Tensor], model: HieraEncoder, done: dict[str, str]) -> None:
    state[_PATCHES], how = fit_channels(state[_PATCHES], model.patch_embed.proj.in_channels)
    if how:
        done[_PATCHES] = f"{done[_PATCHES]}; {how}" if _PATCHES in done else how


def _check_dims(state: dict[str, Tensor]) -> None:
    """Check that what is made to fit has the dimensions of a kernel or an embedding; the loader compares the sizes."""
    window = state.get("pos_embed_window")
    spatial = (3, 4) if window is None else (4,)
    dims = {_PATCHES: (4, 5), "pos_embed_window": (4,), **dict.fromkeys(_SPATIAL, spatial), "pos_embed_temporal": (3,)}
    for name in (name for name in dims if name in state):
        shape = tuple(state[name].shape)
        if len(shape) not in dims[name] or 0 in shape:
            raise ValueError(f"{name} is of shape {shape}, expected {' or '.join(map(str, dims[name]))} dimensions")
        if window is not None and name in _SPATIAL and shape[:2] != window.shape[:2]:
            raise ValueError(f"{name} is of shape {shape}, but pos_embed_window of {tuple(window.shape)}")


def _inflate(state: dict[str, Tensor], model: HieraEncoder, done: dict[str, str]) -> None:
    kernel = state[_PATCHES]  # (C, 3, kh, kw)
    depth = model.patch_embed.proj.weight.shape[2]
    inflated = kernel.new_zeros(*kernel.shape[:2], depth, *kernel.shape[2:])
    inflated[:, :, depth // 2] = kernel
    state[_PATCHES] = inflated
    done[_PATCHES] = f"inflated: in the middle of {depth} frames, the others zero"
    if "pos_embed" in state:
        state["pos_embed_spatial"] = state.pop("pos_embed")
    frames, channels = model.pos_embed_temporal.shape[1:]
    state["pos_embed_temporal"] = kernel.new_zeros(1, frames, channels)
    done["pos_embed_temporal"] = f"zeros for {frames} steps, the weights are an image model's"


def _fit_spatial(state: dict[str, Tensor], model: HieraEncoder, done: dict[str, str]) -> None:
    name = model.spatial_name
    if name not in state:
        return
    window, unit, grid = state.get("pos_embed_window"), model.mask_unit_size[-2:], model.pos_embed_grid[-2:]
    if window is not None and window.shape[-2:] != unit:
        raise ValueError(
            f"pos_embed_window is of {_sides(window.shape)} tokens, the model's mask units are of {_sides(unit)}"
        )
    own, plain = model.get_parameter(name), pe.as_grid(state[name], grid)  # (1, C, H, W)
    if window is None and plain is None:
        shape = tuple(state[name].shape)
        raise ValueError(f"a position embedding of shape {shape} is neither square nor of the model's {grid}")
    if model.pos_embed_kind == "absolute_win":
        if window is None:
            pe.split_plain(state, unit, grid)
            done["pos_embed_window"] = "mean over the mask units of the plain embedding"
            done[name] = "the plain embedding without its window part"
        embed, size = state[name], tuple(own.shape[-2:])
        if embed.shape[-2:] != size:
            done[name] = f"{done.get(name, 'global part')}, bicubic from {_sides(embed.shape)} to {_sides(size)}"
        state[name] = pe.resize(embed, size)
    elif window is not None:
        state[name] = _as_tokens(pe.absolute_win(state[name], state.pop("pos_embed_window"), grid))
        done[name] = f"global and window part added up at {_sides(grid)}"
    elif plain is not None and plain.shape[-2:] != grid:
        state[name] = _as_tokens(pe.resize(plain, grid))
        how = "as a whole: mask units no longer fit its pattern"
        done[name] = f"bicubic from {_sides(plain.shape)} to {_sides(grid)}, {how}"


def _fit_temporal(state: dict[str, Tensor], model: HieraEncoder, done: dict[str, str]) -> None:
    name = "pos_embed_temporal"
    if name not in state or not hasattr(model, name):
        return
    steps, wanted = state[name].shape[1], model.pos_embed_temporal.shape[1]
    if steps != wanted:
        state[name] = pe.resize_temporal(state[name], wanted)
        done[name] = f"linear from {steps} to {wanted} steps"


def _as_tokens(grid: Tensor) -> Tensor:
    return grid.flatten(2).transpose(1, 2).contiguous(memory_format=torch.contiguous_format)  # (1, H * W, C)


def _sides(shape: Sequence[int]) -> str:
    return f"{shape[-2]} x {shape[-1]}"
