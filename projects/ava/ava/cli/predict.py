"""Actions of persons in a video, second by second.

    python projects/ava/predict.py --config output/ava/quickstart/config.yaml --weights output/ava/quickstart/model_final.pth \
        --video clip.mp4 --boxes persons.csv --output predictions

Persons come from a file of boxes (video,second,x1,y1,x2,y2,,score; the video's name without its ending, in its own time), or
from a detector of this package that was trained on a class "person": --detector-config and --detector-weights.
Writes the video with boxes and actions drawn in, AVA's results CSV and a JSON.
"""  # noqa: E501

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hiera_det.config import load_config
from hiera_det.projects.ava.config import defaults
from hiera_det.projects.ava.formats import read_person_boxes
from hiera_det.projects.ava.predict_video import Persons, persons_of, predict_video
from hiera_det.projects.ava.predictor import ActionPredictor


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--config", metavar="FILE", required=True, help="the config that the action detector was trained with")
    add("--weights", metavar="FILE", required=True, help="its checkpoint")
    add("--video", metavar="FILE", required=True)
    add("--output", metavar="DIR", required=True)
    add("--boxes", metavar="FILE", help="person boxes: SlowFast's CSV or mmaction2's pickle")
    add("--detector-config", metavar="FILE", help="the config of a detector of this package")
    add("--detector-weights", metavar="FILE", help="its checkpoint")
    add("--min-person-score", type=float, default=0.8, metavar="S", help="0-1 (%(default)s)")
    add("--min-score", type=float, default=0.3, metavar="S", help="0-1: actions below are not shown (%(default)s)")
    add("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    args = parser.parse_intermixed_args(arguments)
    if (args.boxes is None) == (args.detector_config is None or args.detector_weights is None):
        parser.error("persons: give --boxes, or --detector-config and --detector-weights")
    return args


def detector(config: str, weights: str, min_score: float) -> Persons:
    """Persons as a detector of this package finds them.

    Raises:
        ValueError: it knows no class "person".
    """
    from hiera_det.detection.predictor import Predictor

    predictor = Predictor(load_config(config, ["MODEL.WEIGHTS", weights]))
    if "person" not in predictor.class_names:
        raise ValueError(f"{weights} knows no class 'person', but {', '.join(predictor.class_names[:10]) or 'none'}")
    label = predictor.class_names.index("person") + 1

    def persons(second: float, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = predictor(frame)
        mine = (found["labels"] == label) & (found["scores"] >= min_score)
        height, width = frame.shape[:2]
        return found["boxes"][mine].double().numpy() / [width, height, width, height], found["scores"][mine].numpy()

    return persons


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    cfg = load_config(args.config, [*args.overrides, "MODEL.WEIGHTS", args.weights], defaults())
    seconds = None
    if args.boxes:
        seconds, persons = persons_of(read_person_boxes(args.boxes), Path(args.video).stem, args.min_person_score)
    else:
        persons = detector(args.detector_config, args.detector_weights, args.min_person_score)
    predict_video(ActionPredictor(cfg), args.video, args.output, persons, seconds, min_score=args.min_score)
