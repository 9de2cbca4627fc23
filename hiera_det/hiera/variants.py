"""The published variants (Hiera paper, table 1 and appendix) as one table of arguments."""

from __future__ import annotations

from typing import Any

__all__ = ["MAE_VARIANTS", "SAM2_TRUNKS", "VARIANTS", "is_video", "variant_arguments"]

# By size. Global blocks (layout "windowed") are those of SAM 2's trunks of the same depths.
_SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"embed_dim": 96, "num_heads": 1, "stages": (1, 2, 7, 2), "global_blocks": (5, 7, 9)},
    "small": {"embed_dim": 96, "num_heads": 1, "stages": (1, 2, 11, 2), "global_blocks": (7, 10, 13)},
    "base": {"embed_dim": 96, "num_heads": 1, "stages": (2, 3, 16, 3), "global_blocks": (12, 16, 20)},
    "base_plus": {"embed_dim": 112, "num_heads": 2, "stages": (2, 3, 16, 3), "global_blocks": (12, 16, 20)},
    "large": {"embed_dim": 144, "num_heads": 2, "stages": (2, 6, 36, 4), "global_blocks": (23, 33, 43)},
    "huge": {"embed_dim": 256, "num_heads": 4, "stages": (2, 6, 36, 4), "global_blocks": (23, 33, 43)},
}
_VIDEO: dict[str, Any] = {
    "num_classes": 400,
    "input_size": (16, 224, 224),
    "q_stride": (1, 2, 2),
    "mask_unit_size": (1, 8, 8),
    "patch_kernel": (3, 7, 7),
    "patch_stride": (2, 4, 4),
    "patch_padding": (1, 3, 3),
    "sep_pos_embed": True,
}

VARIANTS: dict[str, dict[str, Any]] = {
    **{f"hiera_{size}_224": arguments for size, arguments in _SIZES.items()},
    **{f"hiera_{size}_16x224": {**_SIZES[size], **_VIDEO} for size in ("base", "base_plus", "large", "huge")},
}

# Masked autoencoders; the last stage does not pool.
MAE_VARIANTS: dict[str, dict[str, Any]] = {
    f"mae_{name}": {**arguments, "q_pool": 2} for name, arguments in VARIANTS.items()
}

_T_TO_B_PLUS = (8, 4, 14, 7)  # windows
# What makes `HieraEncoder` the same function as SAM 2's and 2.1's image encoders, at every size, by the variant of the
# same blocks (facebookresearch/sam2, sam2/configs). Their global blocks are the variants' own.
SAM2_TRUNKS: dict[str, dict[str, Any]] = {
    f"hiera_{size}_224": {
        "layout": "windowed",
        "window_sizes": windows,
        "pos_embed": "absolute_win",
        "pos_embed_size": (side, side),
    }
    for size, windows, side in (
        ("tiny", _T_TO_B_PLUS, 7),
        ("small", _T_TO_B_PLUS, 7),
        ("base_plus", _T_TO_B_PLUS, 14),
        ("large", (8, 4, 16, 8), 7),
    )
}


def variant_arguments(name: str) -> dict[str, Any]:
    """The arguments of a variant or of its masked autoencoder, as a new dict.

    Raises:
        ValueError: there is no such variant; the message lists them.
    """
    known = VARIANTS | MAE_VARIANTS
    if name not in known:
        raise ValueError(
            f"no Hiera variant is called {name!r}; there are {', '.join(VARIANTS)}, and with mae_ before each its"
            " masked autoencoder"
        )
    return dict(known[name])


def is_video(name: str) -> bool:
    """Whether a variant takes clips.

    Raises:
        ValueError: as of :func:`variant_arguments`.
    """
    return "sep_pos_embed" in variant_arguments(name)
