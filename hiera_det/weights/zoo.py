"""Published weights by their names, the original's and SAM 2's, and their licences."""

from __future__ import annotations

import re
from pathlib import Path

from hiera_det.hiera.variants import VARIANTS

__all__ = ["PUBLISHED", "ZOO", "checkpoints_of", "licence_of", "resolved"]

PUBLISHED = "https://dl.fbaipublicfiles.com/hiera/"


_SAM2 = "https://dl.fbaipublicfiles.com/segment_anything_2/"


def _originals() -> dict[str, str]:
    urls = {}
    for variant in VARIANTS:
        data = "k400" if variant.endswith("16x224") else "in1k"
        urls[f"{variant}.mae_{data}"] = f"{PUBLISHED}mae_{variant}.pth"
        urls[f"{variant}.mae_{data}_ft_{data}"] = f"{PUBLISHED}{variant}.pth"
        urls[f"mae_{variant}.mae_{data}"] = f"{PUBLISHED}mae_{variant}.pth"
    return urls


def _sam2() -> dict[str, str]:
    return {
        f"{version}_hiera_{size}": f"{_SAM2}{date}/{version}_hiera_{size}.pt"
        for version, date in (("sam2", "072824"), ("sam2.1", "092824"))
        for size in ("tiny", "small", "base_plus", "large")
    }


_ORIGINALS = _originals()  # "hiera_base_224.mae_in1k": its URL (facebookresearch/hiera, hiera/hiera.py)
# With "sam2.1_hiera_tiny" (facebookresearch/sam2, checkpoints/download_ckpts.sh)
ZOO = {**_ORIGINALS, **_sam2()}
_FILES = {url.rpartition("/")[2]: url for url in ZOO.values()}

_HUB = r"(hf://|https://huggingface\.co/)"
_LICENCES = (  # of a resolved source; the first that fits
    (
        rf"{_HUB}(timm/hiera_\w*abswin|(facebook|timm)/sam2)|{re.escape(_SAM2)}",
        "Apache-2.0",
    ),
    (rf"{_HUB}(facebook|timm)/hiera|{re.escape(PUBLISHED)}", "CC-BY-NC-4.0"),
)


def checkpoints_of(name: str) -> list[str]:
    """The published checkpoints of a variant, the fine-tuned one first: "mae_in1k_ft_in1k", "mae_in1k"."""
    found = [checkpoint for variant, _, checkpoint in (entry.partition(".") for entry in _ORIGINALS) if variant == name]
    return sorted(found, key=lambda checkpoint: "_ft_" not in checkpoint)


def resolved(source: str) -> str:
    """The URL, address of the hub or path that a source stands for.

    A published file's own name is its URL, unless there is such a file here.

    Args:
        source: see :func:`~hiera_det.weights.source.local_file`.
    """
    if source.startswith("hiera:"):
        source = source.removeprefix("hiera:").removeprefix("//")
    return ZOO.get(source) or (_FILES[source] if source in _FILES and not Path(source).exists() else source)


def licence_of(source: str, file_format: str) -> str:
    """The licence of weights, as far as it can be told.

    Args:
        source: as the user named it.
        file_format: of the file: "sam2" for example.
    """
    for pattern, licence in _LICENCES:
        if re.match(pattern, resolved(source)):
            return licence
    if file_format.startswith("sam2"):
        return "Apache-2.0, if they are SAM 2's"
    return (
        "not known; the original's published weights, and what is trained from them, are CC-BY-NC-4.0, SAM 2's"
        " Apache-2.0"
    )
