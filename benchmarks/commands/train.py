"""Compare steps of training: batch from the data loader, forward pass, losses, backward pass, optimizer."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from benchmarks.candidate import Candidate, Job, synchronize
from benchmarks.cases import Case
from benchmarks.models.detectors import DETECTORS, autocast, detector_cases
from benchmarks.rounds import Settings, run_case
from hiera_det.data.catalog import DatasetFiles, custom_dataset, dataset_keys
from hiera_det.data.findings import Findings
from hiera_det.detection.data.shapes import CLASSES, write_shapes
from hiera_det.detection.task import DetectionTask
from hiera_det.engine.loaders import build_loader
from hiera_det.engine.optim import build_optimizer, clip_gradients
from hiera_det.engine.samplers import TrainingSampler

__all__ = ["LEARNING_RATE", "compare_training", "idle_share", "update"]

NUM_IMAGES = 32  # of the generated dataset
MAX_SIDE = 640  # pixels
PREFETCHED = 2  # batches that each of the loader's workers has ready, torch's default
IDLE_STEPS = 8  # steps that the idle share is measured over
LEARNING_RATE = 1e-9  # so small that random weights stay put
Batch = tuple[list[Tensor], list[dict[str, Any]]]
Losses = Callable[[list[Tensor], list[dict[str, Any]]], dict[str, Tensor]]


def compare_training(
    cfg: CfgNode,
    baselines: Sequence[str],
    axes: Mapping[str, Sequence[Any]],
    settings: Settings,
    files: DatasetFiles | None = None,
) -> Iterator[Case]:
    """Time steps of training, in every combination of the axes; all detectors get the same images in the same order.

    Batches come from our loader, with the config's augmentation and number of workers, and all detectors have the
    config's optimizer. With "bf16" all run under autocast. The learning rate is so small that random weights stay put.
    Operations are counted for detectors that pad all images to one size. While the others run, a loader gets its next
    batches ready, so the share of a step's time that waits for its batch (the idle share) is measured separately, for
    our detector, over an uninterrupted sequence of steps.

    Args:
        cfg: our detector's config; the others have its classes and sizes.
        baselines: names in `DETECTORS`.
        axes: lists of values for each condition: ``size`` (``INPUT.MAX_SIZE_TRAIN`` in pixels; None for the config's),
            ``batch``, ``dtype``, ``threads``.
        settings: rounds, device and profile.
        files: what to train on; None: generated shapes, whose classes then replace the config's.

    Raises:
        ValueError: a name or value is unknown, or the dataset does not fit the config.
    """
    for sized, case in detector_cases(cfg, baselines, axes):
        sized.INPUT.MASK_FORMAT = "bitmask"  # what all of them take
        sized.SOLVER.BASE_LR = LEARNING_RATE
        with tempfile.TemporaryDirectory() as folder:
            if files is None:
                sized.MODEL.ROI_HEADS.NUM_CLASSES = len(CLASSES)
            dataset = files or _shapes(Path(folder) / "shapes", min(sized.INPUT.MAX_SIZE_TRAIN, MAX_SIDE))
            sized.merge_from_list(dataset_keys(dataset, None))
            findings = Findings()
            DetectionTask(sized).examine(findings, training=True)
            findings.report(logging.getLogger("benchmarks"))  # raises here if it does not fit
            arguments = (sized, case["batch"], case["dtype"], settings.device)
            candidates = [
                Candidate(name, DETECTORS[name].package, name, partial(_build, name, *arguments))
                for name in ["ours", *baselines]
            ]
            yield run_case(candidates, {**case, "size": sized.INPUT.MAX_SIZE_TRAIN}, settings)


def _shapes(folder: Path, side: int) -> DatasetFiles:
    write_shapes(folder, num_train=NUM_IMAGES, num_val=1, image_size=side)
    return custom_dataset(folder / "annotations" / "instances_train.json", folder / "train")


def _build(name: str, cfg: CfgNode, batch_size: int, dtype: str, device: str) -> Job:
    model = DETECTORS[name].build(cfg).to(device).train()
    losses_of = {"ours": _ours, "torchvision-resnet50": _torchvision}.get(name, _detectron2)(model)
    optimizer = build_optimizer(cfg, model)
    task, workers = DetectionTask(cfg), cfg.DATALOADER.NUM_WORKERS
    sampler = TrainingSampler(len(task.train_dataset), 0)
    batches = iter(build_loader(task.train_dataset, sampler, batch_size, task.collate, workers))

    def train_on(batch: Batch) -> None:
        images, targets = task.to_device(batch, torch.device(device))
        with autocast(device, dtype):
            losses = losses_of(images, targets)
        update(cfg, model, optimizer, sum(losses.values(), start=torch.zeros((), device=device)))
        synchronize(device)

    def step() -> list[Tensor]:
        train_on(next(batches))
        return []

    def details() -> dict[str, float]:
        return {"idle share": idle_share(batches, train_on, PREFETCHED * cfg.DATALOADER.NUM_WORKERS, IDLE_STEPS)}

    return Job(
        step,
        items=batch_size,
        counted=step if DETECTORS[name].one_size(cfg) else None,  # otherwise each step has other operations
        details=details if name == "ours" else dict,  # all have the same loader
    )


def update(cfg: CfgNode, model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Do what follows the loss in a step of training: backward pass, clipping as the config says, optimizer."""
    loss.backward()
    clip_gradients(cfg, model.parameters())
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def idle_share(batches: Iterator[Batch], train_on: Callable[[Batch], None], skipped: int, counted: int) -> float:
    """Measure the share of the time in which steps wait for their batches.

    Args:
        batches: the batches of a loader.
        train_on: the rest of a step.
        skipped: first steps that do not count: batches that were ready before say nothing of the loader's speed.
        counted: steps that count.
    """
    waiting = total = 0.0
    for i in range(skipped + counted):
        start = time.perf_counter()
        batch = next(batches)
        loaded = time.perf_counter()
        train_on(batch)
        if i >= skipped:
            waiting += loaded - start
            total += time.perf_counter() - start
    return waiting / total


# --- from a batch of our loader to the losses, for each package


def _ours(model: nn.Module) -> Losses:
    return model


def _torchvision(model: Any) -> Losses:
    model.transform._skip_resize = True  # the loader has done that
    keys = ("boxes", "labels", "masks")

    def losses(images: list[Tensor], targets: list[dict[str, Any]]) -> dict[str, Tensor]:
        return model(
            [image.float() / 255 for image in images],
            [{key: target[key] for key in keys if key in target} for target in targets],
        )

    return losses


def _detectron2(model: nn.Module) -> Losses:
    from detectron2.structures import BitMasks, Boxes, Instances
    from detectron2.utils.events import EventStorage

    def instances(image: Tensor, target: dict[str, Any]) -> Instances:
        fields = {"gt_boxes": Boxes(target["boxes"]), "gt_classes": target["labels"] - 1}
        if "masks" in target:
            fields["gt_masks"] = BitMasks(target["masks"])
        return Instances(tuple(image.shape[-2:]), **fields)

    def losses(images: list[Tensor], targets: list[dict[str, Any]]) -> dict[str, Tensor]:
        pairs = zip(images, targets, strict=True)
        with EventStorage():
            return model([{"image": image, "instances": instances(image, target)} for image, target in pairs])

    return losses
