"""Steps of training: batches from the data loader, forward pass, losses, backward pass, optimizer."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from benchmarks.cases import Case, combinations
from benchmarks.contender import DTYPES, Contender, Job, check_names
from benchmarks.detectors import DETECTORS, at_size
from benchmarks.rounds import run_case
from hiera_det.data.catalog import DatasetFiles, custom_dataset
from hiera_det.detection.data.shapes import CLASSES, write_shapes
from hiera_det.detection.task import DetectionTask
from hiera_det.engine.data import build_loader
from hiera_det.engine.optim import build_optimizer, clip_gradients
from hiera_det.engine.samplers import TrainingSampler

__all__ = ["compare_training", "idle_share"]

PICTURES = 32
LARGEST_PICTURE = 640  # pixels a side, of the generated ones
PREFETCHED = 2  # batches that each of the loader's workers has ready, torch's default
COUNTED = 8  # steps that the idle share is measured over
Batch = tuple[list[Tensor], list[dict[str, Any]]]
Losses = Callable[[list[Tensor], list[dict[str, Any]]], dict[str, Tensor]]


def compare_training(
    cfg: CfgNode,
    peers: Sequence[str],
    axes: Mapping[str, Sequence[Any]],
    *,
    device: str,
    rounds: int,
    files: DatasetFiles | None = None,
    profile: Path | None = None,
) -> Iterator[Case]:
    """Time steps of training, in every combination of the axes; all detectors get the same stream of images.

    Batches come from our loader, with the config's augmentation and number of workers, and all detectors have the
    config's optimizer. With "bf16" all run under autocast. Learning rates are so small that random weights stay put.
    Operations are counted for detectors that pad all images to one size. A loader makes its few batches ready while the
    others have their turns, so the idle share, for which a step waits for its batch, is measured apart, of our
    detector, over an uninterrupted run of steps.

    Args:
        cfg: of our detector; the others have its classes and sizes.
        peers: names in `DETECTORS`.
        axes: lists of values for each condition: ``size`` (``INPUT.MAX_SIZE_TRAIN`` in pixels; None for the config's),
            ``batch``, ``dtype``, ``threads``.
        device: "cpu" or "cuda".
        rounds: counted turns of each detector.
        profile: a folder for a trace of ours; None: it is not profiled.
        files: what to train on; None: generated shapes, whose classes then take the place of the config's.

    Raises:
        ValueError: an unknown name or value, or a dataset that does not fit the config.
    """
    check_names("--vs", peers, [name for name in DETECTORS if name != "ours"])
    check_names("--dtype", axes["dtype"], DTYPES)
    for case in combinations(axes):
        its = at_size(cfg, case["size"])
        its.INPUT.MASK_FORMAT = "bitmask"  # what all of them take
        its.SOLVER.BASE_LR = 1e-9
        with tempfile.TemporaryDirectory() as folder:
            if files is None:
                its.MODEL.ROI_HEADS.NUM_CLASSES = len(CLASSES)
            chosen = files or _shapes(Path(folder) / "shapes", min(its.INPUT.MAX_SIZE_TRAIN, LARGEST_PICTURE))
            DetectionTask(its, chosen).train_dataset  # noqa: B018  # raises here what is wrong with it
            yield run_case(
                [
                    Contender(name, DETECTORS[name].package, name, partial(_build, name, its, chosen, case, device))
                    for name in ["ours", *peers]
                ],
                {"variant": its.MODEL.HIERA.NAME, **case, "size": its.INPUT.MAX_SIZE_TRAIN},
                device=device,
                threads=case["threads"],
                rounds=rounds,
                product_dtype=case["dtype"],
                profile=profile,
            )


def _shapes(folder: Path, side: int) -> DatasetFiles:
    write_shapes(folder, num_train=PICTURES, num_val=1, image_size=side)
    return custom_dataset(folder / "annotations" / "instances_train.json", folder / "train")


def _build(name: str, cfg: CfgNode, files: DatasetFiles, case: Mapping[str, Any], device: str) -> Job:
    model = DETECTORS[name].build(cfg).to(device).train()
    losses_of = {"ours": _ours, "torchvision-resnet50": _torchvision}.get(name, _detectron2)(model)
    optimizer = build_optimizer(cfg, model)
    dataset = DetectionTask(cfg, files).train_dataset
    workers = cfg.DATALOADER.NUM_WORKERS
    loader = build_loader(dataset, TrainingSampler(len(dataset), 0), case["batch"], DetectionTask.collate, workers)
    batches = iter(loader)
    dtype = case["dtype"]

    def train_on(batch: Batch) -> None:
        images, targets = ([_to_device(part, device) for part in parts] for parts in batch)
        with torch.autocast(device, DTYPES[dtype], enabled=dtype != "fp32"):
            losses = losses_of(images, targets)
        sum(losses.values(), start=torch.zeros((), device=device)).backward()
        clip_gradients(cfg, model.parameters())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()

    def run() -> list[Tensor]:
        train_on(next(batches))
        return []

    def notes() -> dict[str, float]:
        return {"idle share": idle_share(batches, train_on, PREFETCHED * cfg.DATALOADER.NUM_WORKERS, COUNTED)}

    return Job(
        run,
        items=case["batch"],
        counted=run if DETECTORS[name].one_size(cfg) else None,  # else one step's operations are not the next one's
        notes=notes if name == "ours" else dict,  # the loader is the same for all
    )


def idle_share(batches: Iterator[Batch], train_on: Callable[[Batch], None], first: int, counted: int) -> float:
    """The share of the time in which steps wait for their batches.

    Args:
        batches: from a loader.
        train_on: the rest of a step.
        first: steps that do not count: what the loader has ready after a pause is no measure of its speed.
        counted: steps that do.
    """
    waiting = total = 0.0
    for step in range(first + counted):
        start = time.perf_counter()
        batch = next(batches)
        there = time.perf_counter()
        train_on(batch)
        if step >= first:
            waiting += there - start
            total += time.perf_counter() - start
    return waiting / total


def _to_device(part: Any, device: str) -> Any:
    if isinstance(part, dict):
        return {name: _to_device(value, device) for name, value in part.items()}
    return part.to(device, non_blocking=True) if isinstance(part, Tensor) else part


# --- a batch of our loader to the losses, for each package


def _ours(model: nn.Module) -> Losses:
    return model


def _torchvision(model: Any) -> Losses:
    model.transform._skip_resize = True  # the loader has done that
    kept = ("boxes", "labels", "masks")

    def losses(images: list[Tensor], targets: list[dict[str, Any]]) -> dict[str, Tensor]:
        return model(
            [image.float() / 255 for image in images],
            [{name: target[name] for name in kept if name in target} for target in targets],
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
