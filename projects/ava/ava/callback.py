"""Evaluation over all ranks: results gathered, mAP computed, table, files and a plot written."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from fvcore.common.config import CfgNode
from hiera_det.projects.ava.data.dataset import AvaDataset
from hiera_det.projects.ava.evaluation import Result, evaluate
from hiera_det.projects.ava.evaluation.report import format_table, write_json, write_plot
from hiera_det.projects.ava.formats import Rows, write_results

from hiera_det.engine.gather import gather
from hiera_det.engine.metrics import Records

__all__ = ["ActionEvaluation", "to_rows"]

logger = logging.getLogger(__name__)


class ActionEvaluation(L.Callback):
    """AVA mAP of each validation run, into ``<output>/inference`` and the records.

    Attributes:
        result: of the last run; None if it was interrupted.
        iteration: after which the last run took place.
        broken: message by index of each clip that could not be read in the last run.
    """

    def __init__(self, cfg: CfgNode, records: Records) -> None:
        self.cfg = cfg
        self.folder = Path(cfg.OUTPUT_DIR) / "inference"
        self.records = records
        self.result: Result | None = None
        self.broken: dict[int, str] = {}
        self.iteration = -1
        self._found: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin anew."""
        self._found, self.broken = {}, {}

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the probabilities of a batch."""
        self.broken |= batch["broken"]
        if outputs:
            for index, kept, probabilities in zip(batch["index"], batch["kept"], outputs, strict=True):
                self._found[index] = kept.cpu().numpy(), probabilities.float().cpu().numpy()

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Gather the ranks' results and evaluate them on rank 0.

        Raises:
            RuntimeError: a keyframe was lost or came twice.
        """
        self.iteration, self.result = trainer.global_step - 1, None
        shares = gather((self._found, self.broken, pl_module.interrupted), trainer.world_size)
        if any(interrupted for *_, interrupted in shares):
            logger.warning("evaluation abandoned: a SIGTERM came")
        elif trainer.is_global_zero:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            _check_complete(shares, len(data.test_dataset))
            found = {index: value for share, *_ in shares for index, value in share.items()}
            self.broken = {index: message for _, share, _ in shares for index, message in share.items()}
            rows = to_rows(data.test_dataset, found, list(data.label_map), self.cfg.TEST.TIMES_PERSON_SCORE)
            self.result = evaluate(data.ground_truth, rows, data.label_map, self.cfg.TEST.PROTOCOL, data.exclusions)
            self._report(self.result, rows)
        self.result, self.broken = trainer.strategy.broadcast((self.result, self.broken))

    def _report(self, result: Result, rows: Rows) -> None:
        for message in self.broken.values():
            logger.error("not evaluated: %s", message)
        after = f" after {self.iteration + 1} iterations" if self.iteration >= 0 else ""
        logger.info("evaluation%s:\n%s", after, format_table(result))
        write_results(self.folder / "results.csv", rows)
        write_json(self.folder / "metrics.json", result)
        write_plot(self.folder / "ap.png", result)
        values = {f"ap/{name}": value for name, value in result.ap.items() if value == value}
        self.records.amend({"mAP": result.mean_ap, **values})


def to_rows(
    dataset: AvaDataset,
    found: dict[int, tuple[np.ndarray, np.ndarray]],
    class_ids: list[int],
    times_person_score: bool,
) -> Rows:
    """Detections: a row for each person and action, keyframes in the dataset's order.

    Args:
        dataset: the keyframes.
        found: by index the persons that are left (M,) of the keyframe's, and their probabilities (M, K).
        class_ids: of the K columns.
        times_person_score: multiply by the person's own score.
    """
    keyframes = {index: dataset.keyframe(index) for index in sorted(found)}
    videos = list(dict.fromkeys(keyframe.video for keyframe in keyframes.values()))
    number = {name: i for i, name in enumerate(videos)}
    parts: list[tuple[np.ndarray, ...]] = []
    for index, keyframe in keyframes.items():
        kept, probabilities = found[index]
        scores = probabilities * keyframe.scores[kept, None] if times_person_score else probabilities  # (M, K)
        count = scores.size
        parts.append(
            (
                np.full(count, number[keyframe.video], np.int32),
                np.full(count, keyframe.second),
                np.repeat(keyframe.boxes[kept], len(class_ids), axis=0),
                np.tile(np.array(class_ids, np.int32), len(kept)),
                scores.reshape(-1).astype(np.float64),
            )
        )
    video, second, boxes, action, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Rows(videos, video, second, boxes, action, score)


def _check_complete(shares: list[Any], expected: int) -> None:
    seen = Counter(index for found, broken, _ in shares for index in (*found, *broken))
    lost, twice = set(range(expected)) - set(seen), [index for index, count in seen.items() if count > 1]
    if lost or twice:
        raise RuntimeError(
            f"of {expected} keyframes {len(lost)} are lost (such as {sorted(lost)[:5]}), {len(twice)} came twice"
        )
