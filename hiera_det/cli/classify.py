"""Classify photos, or clips of video.

    hiera-det classify --weights hiera_base_224.mae_in1k_ft_in1k --input photo.jpg
    hiera-det classify --weights hf://owner/name --input photos/ --output classes --top-k 3

Prints the most probable classes; with --output it writes drawn images and predictions.json. Videos need weights of a
model of clips, such as hiera_base_16x224.mae_k400_ft_k400.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hiera_det.cli.parser import CommandParser
from hiera_det.features.classification.classifier import load_classifier
from hiera_det.features.classification.classify import as_text, classify
from hiera_det.utils.logs import show_log

__all__ = ["classify_files", "main", "parse"]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    model = parser.add_argument_group("model").add_argument
    model(
        "--weights",
        metavar="SOURCE",
        required=True,
        help="a published name, a file, a folder with model.safetensors, a URL or hf://owner/name",
    )
    model("--device", default="auto", help="cpu, cuda, cuda:<index>; auto: the GPU where there is one (auto)")
    files = parser.add_argument_group("input and output").add_argument
    files("--input", metavar="PATH", required=True, help="an image, a video, or a folder of either")
    files("--output", metavar="DIR", help="folder for drawn images and predictions.json; default: nothing is written")
    files("--top-k", type=int, metavar="K", help="classes to show of each image (5)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    show_log()
    classify_files(args.weights, args.input, args.output, top_k=args.top_k, device=args.device)


def classify_files(
    weights: str, source: str | Path, output: str | Path | None, *, top_k: int | None, device: str
) -> None:
    """Print the classes of files, see :func:`~hiera_det.features.classification.classify.classify`."""
    classifier = load_classifier(weights, device)
    print(as_text(classify(classifier, source, output, top_k=5 if top_k is None else top_k)))
