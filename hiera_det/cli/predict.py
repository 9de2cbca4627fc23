"""Detect on images or a video, or tell what persons do in a video.

    hiera-det predict --weights output/quickstart --input photo.jpg --output predictions
    hiera-det predict --weights hf://owner/name --input photos/ --output predictions --score-threshold 0.3
    hiera-det predict --weights output/ava/quickstart --input clip.mp4 --boxes persons.csv --output predictions

The weights tell what is done. A detector writes drawn images or a video, and predictions.json (COCO results with
file_name; image_id: the file's name where all names are numbers, else its place in alphabetical order; in a video the
frame). An action detector takes persons from a file of boxes, or from a detector with a class "person"; it writes a
drawn video, AVA's results CSV and a JSON. What of a video cannot be read is left out, and listed in a .failed.csv.
Weights of a classifier do what `hiera-det classify` does.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hiera_det.api import load
from hiera_det.cli.classify import classify_files
from hiera_det.cli.parser import CommandParser
from hiera_det.engine.predictor import Predictor
from hiera_det.tasks import load_trained_model
from hiera_det.utils.logs import show_log
from hiera_det.weights.trained import TrainedModel, read_any

__all__ = ["main", "parse"]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    model = parser.add_argument_group("model").add_argument
    model("--weights", metavar="SOURCE", required=True, help="a checkpoint, a run's folder, a URL or hf://owner/name")
    model(
        "--config",
        "--config-file",
        metavar="FILE",
        help="config to use instead of the one in the weights (files of 0.1.0 need it)",
    )
    model("--device", default="auto", help="cpu, cuda, cuda:<index>; auto: the GPU where there is one (auto)")
    model("--task", choices=("detect", "actions", "classify"), help="refuse weights of another task")
    files = parser.add_argument_group("input and output").add_argument
    files("--input", "--video", metavar="PATH", required=True, help="an image, a folder of images or a video")
    files(
        "--strict",
        action="store_true",
        default=None,
        help="fail if anything could not be read, once the rest is written",
    )
    files("--output", metavar="DIR", help="the folder to write to; needed but for classification")
    detection = parser.add_argument_group("detection").add_argument
    detection(
        "--score-threshold", type=float, metavar="S", help="score, 0 to 1: detections below it are left out (0.5)"
    )
    actions = parser.add_argument_group("actions").add_argument
    actions("--boxes", metavar="FILE", help="person boxes: SlowFast's CSV (video,second,x1,y1,x2,y2,,score)")
    actions("--detector-weights", metavar="SOURCE", help="a detector with a class 'person', in place of --boxes")
    actions("--detector-config", metavar="FILE", help="config to use instead of the one in --detector-weights")
    actions("--min-person-score", type=float, metavar="S", help="score, 0 to 1: persons below it are left out (0.8)")
    actions("--min-score", type=float, metavar="S", help="probability, 0 to 1: actions below it are not shown (0.3)")
    classes = parser.add_argument_group("classification").add_argument
    classes("--top-k", type=int, metavar="K", help="classes to show of each image (5)")
    parser.add_overrides()
    args = parser.parse_intermixed_args(arguments)
    if args.score_threshold is not None and not 0 <= args.score_threshold <= 1:
        parser.error(f"--score-threshold {args.score_threshold}: expected 0 to 1")
    return args


# What each task takes besides the model, --input and --output.
_OPTIONS = {
    "detect": ("score_threshold", "overrides", "config", "strict"),
    "actions": (
        "boxes",
        "detector_weights",
        "detector_config",
        "min_person_score",
        "min_score",
        "overrides",
        "config",
        "strict",
    ),
    "classify": ("top_k",),
}


def _check(args: argparse.Namespace, task: str) -> None:
    """Refuse options that the task of the weights has no use for.

    Raises:
        ValueError: the message names them.
    """
    if args.task not in (None, task):
        raise ValueError(f"--task {args.task}, but the weights {args.weights} are of the task {task!r}")
    every = {name for names in _OPTIONS.values() for name in names}
    foreign = sorted(name for name in every - set(_OPTIONS[task]) if getattr(args, name) not in (None, []))
    if foreign:
        flags = ["KEY VALUE" if name == "overrides" else f"--{name.replace('_', '-')}" for name in foreign]
        raise ValueError(f"the weights {args.weights} are of the task {task!r}, which takes no {', '.join(flags)}")
    if task != "classify" and args.output is None:
        raise ValueError(f"the task {task!r} writes files: name their folder, --output")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    show_log()
    trained = read_any(args.weights)
    if trained is None:
        _check(args, "classify")
        classify_files(args.weights, args.input, args.output, top_k=args.top_k, device=args.device)
    elif trained.task == "detection":
        _check(args, "detect")
        _detect(args, _predictor(args, trained))
    else:
        _check(args, "actions")
        _predict_actions(args, trained)


def _predictor(args: argparse.Namespace, trained: TrainedModel) -> Predictor:
    device = args.device
    if device == "auto":
        device = dict(zip(args.overrides[::2], args.overrides[1::2], strict=False)).get("MODEL.DEVICE", device)
    return load_trained_model(trained, config=args.config, overrides=args.overrides, device=device)


def _detect(args: argparse.Namespace, predictor: Predictor) -> None:
    from hiera_det.detection.predict_files import predict
    from hiera_det.detection.predictor import DetectionPredictor

    assert isinstance(predictor, DetectionPredictor)
    threshold = 0.5 if args.score_threshold is None else args.score_threshold
    predict(predictor, args.input, args.output, score_threshold=threshold, strict=bool(args.strict))


def _predict_actions(args: argparse.Namespace, trained: TrainedModel) -> None:
    if (args.boxes is None) == (args.detector_weights is None):
        raise ValueError("persons: give either --boxes or --detector-weights")
    from hiera_det.projects.ava.persons import check_min_score

    min_person_score = 0.8 if args.min_person_score is None else args.min_person_score
    check_min_score(min_person_score, "--min-person-score")
    predictor = _predictor(args, trained)
    from hiera_det.projects.ava.predict_files import predict
    from hiera_det.projects.ava.predictor import ActionPredictor

    assert isinstance(predictor, ActionPredictor)
    detector = None
    if args.detector_weights is not None:
        detector = load(args.detector_weights, device=args.device, config=args.detector_config)
    predict(
        predictor,
        args.input,
        args.output,
        boxes=args.boxes,
        detector=detector,
        min_person_score=min_person_score,
        min_score=0.3 if args.min_score is None else args.min_score,
        strict=bool(args.strict),
    )
