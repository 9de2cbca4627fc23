"""Detection and instance segmentation as a task of the engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from hiera_det.coco.evaluator import CocoEvaluator, Metrics
from hiera_det.coco.examination import Given, examine_datasets
from hiera_det.coco.fits import examine_fit
from hiera_det.coco.reader import read_annotations
from hiera_det.coco.records import Annotations
from hiera_det.coco.tables import metrics_table
from hiera_det.data.catalog import DatasetFiles, resolve_dataset, sums_of
from hiera_det.data.class_names import check_same_classes
from hiera_det.data.findings import Findings
from hiera_det.data.reading import reading_of
from hiera_det.detection.comparison_images import ComparisonImages, TrainingImages
from hiera_det.detection.data.coco import CocoDataset
from hiera_det.detection.data.transforms import build_test_transform, build_train_transform
from hiera_det.detection.model.config_check import check_training_config
from hiera_det.detection.model.detector import build_model
from hiera_det.engine.output import is_rank_zero
from hiera_det.engine.task import Task
from hiera_det.utils.files import write_json
from hiera_det.weights.description import Description

__all__ = ["DetectionTask"]

logger = logging.getLogger(__name__)

Batch = tuple[list[Tensor], list[dict[str, Any]]]  # images (3, H, W), targets


class DetectionTask(Task):
    """Training and evaluation of a detector on COCO-format data; its checkpoints have detectron2's names.

    Args:
        cfg: of :func:`hiera_det.config.get_cfg`.

    Datasets raise ValueError if ``DATASETS`` names several, if they have another number of categories than the model or
    other classes than one another, or if :class:`CocoEvaluator` refuses the test set; FileNotFoundError if files are
    missing.
    """

    name = "detection"

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        self._images = ComparisonImages(cfg.INPUT.FORMAT)
        self._read: dict[str, Annotations] = {}

    # --- data

    def _given(self, split: str) -> Given | None:
        """Files and masks of a split; None: there is none."""
        files = _only_dataset(self.cfg, split)
        return None if files is None else Given.from_config(self.cfg, files, split)

    def _annotations(self, split: str, given: Given) -> Annotations:
        """Of a split, as they were examined, or read now."""
        if split not in self._read:
            self._read[split] = read_annotations(given.files.json_file, mask_format=given.mask_format)
        return self._read[split]

    def examine(self, findings: Findings, *, training: bool) -> None:
        """Read both sets, and look at image files, sizes, boxes and classes."""
        splits = ("TRAIN", "TEST") if training else ("TEST",)
        given = {split: its for split in splits if (its := self._given(split)) is not None}
        classes = self.cfg.MODEL.ROI_HEADS.NUM_CLASSES
        read = examine_datasets(given, findings, classes, reading=reading_of(self.cfg))
        for split, content in read.items():
            examine_fit(self.cfg, content, findings, training=split == "TRAIN")
        if not findings.problems:
            self._read |= read

    def data_sums(self, *, training: bool) -> dict[str, tuple[str, str]]:
        """Of the annotations of each dataset."""
        files = [_only_dataset(self.cfg, split) for split in (("TRAIN", "TEST") if training else ("TEST",))]
        return sums_of(filter(None, files))

    @cached_property
    def train_dataset(self) -> CocoDataset:
        """The training set."""
        check_training_config(self.cfg)
        given = self._given("TRAIN")
        if given is None:
            raise ValueError("DATASETS.TRAIN is empty: nothing to train on")
        return CocoDataset(
            given.files,
            build_train_transform(self.cfg),
            image_format=self.cfg.INPUT.FORMAT,
            mask_format=given.mask_format,
            filter_empty=self.cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS,
            annotations=self._annotations("TRAIN", given),
            reading=reading_of(self.cfg),
        )

    @cached_property
    def test_dataset(self) -> CocoDataset | None:
        """The test set; None if ``DATASETS.TEST`` is empty."""
        given = self._given("TEST")
        if given is None:
            return None
        annotations = self._annotations("TEST", given)
        # Made here, so that what it refuses is refused before training.
        self.evaluator = CocoEvaluator.from_config(self.cfg, annotations)
        return CocoDataset(
            given.files,
            build_test_transform(self.cfg),
            image_format=self.cfg.INPUT.FORMAT,
            mask_format=None,
            filter_empty=False,
            annotations=annotations,
            reading=reading_of(self.cfg),
        )

    @staticmethod
    def collate(items: list[tuple[Tensor, dict[str, Any]]]) -> Batch:
        """Images, of different sizes, and targets as two lists."""
        images, targets = zip(*items, strict=True)
        return list(images), list(targets)

    def to_device(self, batch: Any, device: torch.device) -> Any:
        """Images and targets to the device; polygons stay, their masks are drawn on the CPU."""
        if isinstance(batch, dict) and "polygons" in batch:
            return {**super().to_device({**batch, "polygons": None}, device), "polygons": batch["polygons"]}
        return super().to_device(batch, device)

    def names_of(self, batch: Batch) -> list[int]:
        """Image ids."""
        return [int(target["image_id"]) for target in batch[1]]

    # --- model

    def build_model(self) -> nn.Module:
        """The detector of the config."""
        return build_model(self.cfg)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The detector's losses."""
        return model(*batch)

    def predict(self, model: nn.Module, batch: Batch) -> list[dict[str, Any]]:
        """Detections in pixels of the original images."""
        images, targets = batch
        sizes = [(int(target["height"]), int(target["width"])) for target in targets]
        return model(images, output_sizes=sizes, paste=False)

    def callbacks(self) -> Sequence[L.Callback]:
        """Images of what is detected while training, every ``VIS_PERIOD`` iterations."""
        if self.cfg.VIS_PERIOD <= 0:
            return ()
        return (TrainingImages(self.cfg.VIS_PERIOD, self.cfg.INPUT.FORMAT, self.train_dataset.class_names),)

    # --- evaluation

    def test_ids(self) -> Sequence[int]:
        """Image ids."""
        assert self.test_dataset is not None
        return self.test_dataset.image_ids

    def start_evaluation(self) -> None:
        """No images are kept yet."""
        assert self.test_dataset is not None
        self._images.clear()
        logger.info("evaluating on %s: %d images", self.test_dataset.files.name, len(self.test_dataset))

    def results_of(self, batch: Batch, predictions: list[dict[str, Any]]) -> list[tuple[int, Any]]:
        """Image ids and detections as COCO results, masks encoded."""
        results = []
        for image, target, found in zip(*batch, predictions, strict=True):
            image_id = int(target["image_id"])
            of_image = self.evaluator.results_of(image_id, found)
            results.append((image_id, of_image))
            if is_rank_zero():  # which draws them
                self._images.keep(image, image_id, of_image)
        return results

    def judge(self, results: Mapping[int, list[dict[str, Any]]], folder: Path) -> Metrics:
        """COCO AP; also writes the detections."""
        assert self.test_dataset is not None
        dataset, evaluator = self.test_dataset, self.evaluator
        evaluator.results = [result for of_image in results.values() for result in of_image]
        metrics = evaluator.evaluate()
        evaluator.write(folder / "coco_instances_results.json")
        write_json(folder / "metrics.json", {"dataset": dataset.files.name, **metrics}, indent=1)
        return metrics

    def draw(self, folder: Path) -> None:
        """A few images of truth beside detections."""
        self._images.write(folder / "pictures", self.evaluator.annotations)

    def scalars(self, metrics: Metrics) -> dict[str, float]:
        """``bbox/AP`` and so on, in percent."""
        return {f"{kind}/{name}": value for kind, values in metrics.items() for name, value in values.items()}

    def table(self, metrics: Metrics) -> str:
        """AP by size and category."""
        assert self.test_dataset is not None
        return f"{self.test_dataset.files.name}\n{metrics_table(metrics)}"

    # --- checkpoints

    def classes(self) -> tuple[list[str], list[int]]:
        """The training set's."""
        return list(self.train_dataset.class_names), list(self.train_dataset.category_ids)

    def check_classes(self, description: Description, source: str, *, training: bool) -> None:
        """Compare class names, where the checkpoint has them."""
        dataset = self.train_dataset if training else self.test_dataset
        assert dataset is not None
        check_same_classes(source, description.class_names, dataset.class_names, str(dataset.files.json_file))


def _only_dataset(cfg: CfgNode, split: str) -> DatasetFiles | None:
    names = cfg.DATASETS[split]
    if len(names) > 1:
        raise ValueError(
            f"DATASETS.{split} names {len(names)} datasets, {list(names)}; this backend takes one: merge their JSON"
            " files and give --dataset-json"
        )
    return resolve_dataset(names[0], cfg.DATASETS.FILES) if names else None
