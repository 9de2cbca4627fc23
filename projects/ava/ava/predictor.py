"""A trained action detector on clips and videos."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from fvcore.common.config import CfgNode
from tqdm import tqdm

from hiera_det.data.class_names import distinct_names
from hiera_det.data.video import END_SLACK, OnLost, clip_offsets, promised_duration, read_nearest, video_duration
from hiera_det.engine.predictor import Predictor
from hiera_det.projects.ava.config import defaults
from hiera_det.projects.ava.data.transforms import TestTransform
from hiera_det.projects.ava.formats import read_person_boxes
from hiera_det.projects.ava.model import ActionDetector, build_model
from hiera_det.projects.ava.persons import PersonDetector, Persons, check_min_score, persons_detected, persons_of
from hiera_det.projects.ava.second import SecondPrediction
from hiera_det.weights.trained import TrainedModel

__all__ = ["ActionPredictor"]

logger = logging.getLogger(__name__)

_ROUNDING = 0.01  # seconds that rounded timestamps may take from a second at the end


class ActionPredictor(Predictor):
    """Classifies what persons do, clip by clip, on the full frame.

    See :class:`~hiera_det.engine.predictor.Predictor`. The checkpoint has to name its actions.
    """

    task, kind, pipeline = "actions", "action detection in video", "video-classification"
    model: ActionDetector

    def __init__(self, trained: TrainedModel, cfg: CfgNode, device: str = "auto") -> None:
        super().__init__(trained, cfg, device)
        self.num_frames, self.rate = cfg.INPUT.NUM_FRAMES, cfg.INPUT.RATE
        self.max_pixels = cfg.INPUT.MAX_PIXELS
        self._transform = TestTransform(cfg.INPUT.MIN_SIZE_TEST, box_extension=cfg.INPUT.BOX_EXTENSION)

    @staticmethod
    def defaults() -> CfgNode:
        """The keys of action detection."""
        return defaults()

    def _classes(self, trained: TrainedModel) -> tuple[list[str], list[int]]:
        names, ids = trained.description.class_names, trained.description.category_ids
        if names is None or ids is None:
            raise ValueError(f"{trained.source} names no actions; expected a checkpoint of a run")
        outputs = trained.state["head.proj.weight"].shape[:1]
        if outputs != (len(names),):
            raise ValueError(f"{trained.source} names {len(names)} actions, but its head has {list(outputs)} outputs")
        return distinct_names(names, ids), ids

    def _build(self) -> ActionDetector:
        return build_model(self.cfg, len(self.class_names))

    def predict(
        self,
        video: str | Path,
        *,
        boxes: str | Path | None = None,
        detector: PersonDetector | None = None,
        min_person_score: float = 0.8,
        on_lost: OnLost | None = None,
    ) -> list[SecondPrediction]:
        """Predict what the persons in a video do, second by second; seconds that cannot be read are left out.

        Args:
            video: the file.
            boxes: a file of person boxes: SlowFast's CSV (video,second,x1,y1,x2,y2,,score; the video's name without its
                ending, with or without its folders, in its own time) or mmaction2's pickle; the seconds that it names
                are classified.
            detector: in place of ``boxes``, a detector with a class "person"; every whole second is classified.
            min_person_score: persons of this score or more are classified, 0 to 1; the others are counted in the log.
            on_lost: told of every second that cannot be read, and why; without it that is a warning in the log.

        Raises:
            FileNotFoundError: there is no such video.
            ValueError, OSError: no second of it can be decoded; the file of boxes cannot be read or has none of this
                video; the detector knows no persons; or persons are given in both ways, or in none.
        """
        video = Path(video)
        if (boxes is None) == (detector is None):
            raise ValueError("persons: give either boxes, a file, or detector")
        if not video.is_file():
            raise FileNotFoundError(f"no video at {video}")
        check_min_score(min_person_score, "min_person_score")
        if detector is not None:
            detected = persons_detected(detector, min_person_score)
            found = self.predict_seconds(video, detected, _whole_seconds(video), on_lost)
            detected.log_left_out()
            return found
        assert boxes is not None
        seconds, persons = persons_of(read_person_boxes(boxes), video, min_person_score)
        return self.predict_seconds(video, persons, seconds, on_lost)

    def predict_seconds(
        self, video: Path, persons: Persons, seconds: list[float], on_lost: OnLost | None = None
    ) -> list[SecondPrediction]:
        """Predict at given seconds of a video, in its own time, for the persons that a function gives.

        ``on_lost`` is that of :meth:`predict`.

        Raises:
            ValueError, OSError: no second of the video can be decoded.
        """
        found: list[SecondPrediction] = []
        lost: list[str] = []
        for second in tqdm(seconds, desc="seconds"):
            try:
                frames = self._clip(video, second)  # (T, H, W, 3)
            except (OSError, ValueError) as error:
                lost.append(str(error))
                (on_lost or _warn)(second, lost[-1])
                continue
            boxes, scores = persons(second, frames[len(frames) // 2])
            found.append(SecondPrediction(second, boxes, scores, self.classify(frames, boxes), self.class_names))
        if lost and not found:
            raise ValueError(f"none of the {len(seconds)} seconds of {video} can be read; the first: {lost[0]}")
        return found

    def _clip(self, video: Path, second: float) -> np.ndarray:
        if second < -END_SLACK:
            raise ValueError(f"second {second:g} lies before the beginning of {video}")
        wanted = second + clip_offsets(self.num_frames, self.rate)
        return read_nearest(video, second, wanted, max_pixels=self.max_pixels)

    @torch.no_grad()
    def classify(self, frames: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Classify the persons of one clip.

        Args:
            frames: (T, H, W, 3) uint8 RGB, ``num_frames`` of them.
            boxes: (N, 4) xyxy in [0, 1].

        Returns:
            (N, K) float32 probabilities, in the order of ``class_names``; zeros for a box without area.
        """
        probabilities = np.zeros((len(boxes), len(self.class_names)), np.float32)
        clip, moved, kept = self._transform(np.ascontiguousarray(frames), np.asarray(boxes, np.float64).reshape(-1, 4))
        if len(kept):
            logits = self.model(clip[None].to(self.device), [moved.to(self.device)])
            probabilities[kept.numpy()] = logits.sigmoid().cpu().numpy()
        return probabilities


def _whole_seconds(path: Path) -> list[float]:
    """The seconds that end within the video; where it is cut off, those that are missing too."""
    end = promised_duration(path, video_duration(path))
    return [float(second) for second in range(max(int(end + _ROUNDING), 1))]


def _warn(second: float, reason: str) -> None:
    logger.warning("left out: second %g: %s", second, reason)
