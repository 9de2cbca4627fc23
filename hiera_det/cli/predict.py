"""Detect on, or classify, an image, a folder of images or a video.

    python tools/predict.py --config output/quickstart/config.yaml --weights output/quickstart/model_final.pth \
        --input photo.jpg --output predictions
    python tools/predict.py --task classify --weights hiera_base_224.mae_in1k_ft_in1k --input photo.jpg

Detection writes drawn images and predictions.json (COCO results with file_name; image_id: the file's name where all
names are numbers, else its place in alphabetical order; in a video the frame).

Classification prints the most probable classes; with --output it writes drawn images and predictions.json. Videos
need weights of a model of clips, such as hiera_base_16x224.mae_k400_ft_k400.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from hiera_det.config import load_config
from hiera_det.detection.predict_files import predict
from hiera_det.detection.predictor import Predictor
from hiera_det.features.classification.classifier import load_classifier
from hiera_det.features.classification.classify import as_text, classify


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--task", choices=("detect", "classify"), default="detect")
    add("--config", "--config-file", metavar="FILE", help="detection: the config that the detector was trained with")
    add(
        "--weights",
        metavar="SOURCE",
        help="detection: a checkpoint, default MODEL.WEIGHTS; classification: a published name, a file, a folder with"
        " model.safetensors, a URL or hf://owner/name",
    )
    add("--input", metavar="PATH", required=True, help="an image, a folder of images or a video")
    add("--output", metavar="DIR", help="needed for detection")
    add("--score-threshold", type=float, metavar="S", help="detection, 0-1: detections below are left out (0.5)")
    add("--top-k", type=int, metavar="K", help="classification: so many classes of each image (5)")
    add("overrides", nargs="*", metavar="KEY VALUE", help="detection: config keys and their values")
    args = parser.parse_intermixed_args(arguments)
    flags = {name: f"--{name.replace('_', '-')}" for name in vars(args)} | {"overrides": "KEY VALUE"}
    needed, foreign = {
        "detect": (("config", "output"), ("top_k",)),
        "classify": (("weights",), ("config", "score_threshold", "overrides")),
    }[args.task]
    if missing := [flags[name] for name in needed if getattr(args, name) is None]:
        parser.error(f"--task {args.task} needs {', '.join(missing)}")
    if given := [flags[name] for name in foreign if getattr(args, name) not in (None, [])]:
        parser.error(f"--task {args.task} takes no {', '.join(given)}")
    if args.score_threshold is not None and not 0 <= args.score_threshold <= 1:
        parser.error(f"--score-threshold {args.score_threshold}: expected 0 to 1")
    return args


def detect(args: argparse.Namespace) -> None:
    """Detection."""
    weights = ["MODEL.WEIGHTS", args.weights] if args.weights else []
    score = 0.5 if args.score_threshold is None else args.score_threshold
    threshold = ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", str(score)]
    cfg = load_config(args.config, [*args.overrides, *weights, *threshold])
    predict(Predictor(cfg), args.input, args.output)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    if args.task == "detect":
        detect(args)
    else:
        top_k = 5 if args.top_k is None else args.top_k
        print(as_text(classify(load_classifier(args.weights), args.input, args.output, top_k=top_k)))
