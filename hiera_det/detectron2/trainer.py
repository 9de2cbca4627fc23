"""Runs on detectron2: training with evaluation, or evaluation alone, from a config and launch flags."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.config import get_cfg as get_detectron2_cfg
from detectron2.engine import default_setup, launch
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from hiera_det import config
from hiera_det.coco.examination import Given, examine_datasets
from hiera_det.coco.fits import examine_fit
from hiera_det.coco.reader import read_annotations
from hiera_det.data.catalog import sums_of
from hiera_det.data.class_names import check_same_classes
from hiera_det.data.findings import Findings
from hiera_det.detectron2.data import (
    annotations_of,
    check_classes,
    classes_of,
    examine_narrow,
    find_dataset,
    register_dataset,
)
from hiera_det.detectron2.default_trainer import Trainer
from hiera_det.detectron2.evaluation import Evaluator
from hiera_det.engine.data_record import record_data
from hiera_det.engine.lock import locked
from hiera_det.engine.options import RunOptions, available_device, check_rendezvous, items_per_device
from hiera_det.utils.files import atomic_write, make_folder
from hiera_det.utils.logs import set_handlers
from hiera_det.weights.trained import load_trained, read_trained

__all__ = ["defaults", "evaluate", "train"]

logger = logging.getLogger(__name__)

_TORCHVISION_ALONE = {
    "LOGGERS": "detectron2's trainer writes metrics.json and TensorBoard's events alone",
    "INPUT.MAX_PIXELS": "detectron2 reads images of up to PIL's limit",
    "INPUT.PIXEL_RANGE": "detectron2 has white for all above 255",
}


def defaults() -> CfgNode:
    """detectron2's defaults with this project's keys."""
    cfg = get_detectron2_cfg()
    config.add_hiera_config(cfg)
    return cfg


def train(
    cfg: CfgNode,
    flags: RunOptions,
    *,
    resume: bool = False,
) -> None:
    """Train to ``SOLVER.MAX_ITER``, evaluating on the way and at the end; all output goes to ``OUTPUT_DIR``.

    Args:
        cfg: the config.
        flags: how many GPUs and machines.
        resume: continue from ``OUTPUT_DIR/last_checkpoint``, if there is one.

    Raises:
        ValueError, OSError: bad config, flags, data, weights or output folder; the message says which.
        FloatingPointError: the loss is not finite.
    """
    _check_flags(flags)
    items_per_device(cfg, max(flags.num_gpus, 1) * flags.num_machines, 1)
    _check_keys(cfg)
    if not cfg.DATASETS.TRAIN:
        raise ValueError("DATASETS.TRAIN is empty: nothing to train on")
    _launch(_train, cfg, flags, resume)


def evaluate(cfg: CfgNode, flags: RunOptions) -> None:
    """Evaluate ``MODEL.WEIGHTS`` on ``DATASETS.TEST``; results go to ``OUTPUT_DIR/inference``.

    Args:
        cfg: the config.
        flags: how many GPUs and machines.

    Raises:
        ValueError, OSError: bad config, flags, data, weights or output folder; the message says which.
    """
    _check_flags(flags)
    _launch(_evaluate, cfg, flags, False)


def _launch(job: Callable, cfg: CfgNode, flags: RunOptions, resume: bool) -> None:
    folder = make_folder(cfg.OUTPUT_DIR, "OUTPUT_DIR")
    with locked(folder) if flags.machine_rank == 0 else nullcontext():
        launch(
            job,
            max(flags.num_gpus, 1),
            num_machines=flags.num_machines,
            machine_rank=flags.machine_rank,
            dist_url=flags.dist_url,
            args=(cfg, resume),
        )


def _check_flags(flags: RunOptions) -> None:
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not 0 <= flags.num_gpus <= available:
        raise ValueError(f"--num-gpus {flags.num_gpus}, but there are {available} GPUs here")
    if flags.num_machines > 1:
        check_rendezvous(flags)
    if flags.precision is not None or flags.accumulate != 1:
        raise ValueError("--precision and --accumulate are the torchvision backend's; here: SOLVER.AMP.ENABLED")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            "under torchrun every process would train a model of its own: detectron2 starts its processes itself, by"
            " --num-gpus and --num-machines; or take --backend torchvision"
        )


def _check_keys(cfg: CfgNode) -> None:
    """See that no key is set that the torchvision backend alone has.

    Raises:
        ValueError: one is; the message names it.
    """
    known = defaults()
    for key, reason in _TORCHVISION_ALONE.items():
        value, own = config.value_of(cfg, key), config.value_of(known, key)
        if config.to_plain({key: value}) != config.to_plain({key: own}):
            raise ValueError(f"{key} is {value!r}, but {reason}; leave it out, or take --backend torchvision")


def _prepare(cfg: CfgNode, *, eval_only: bool) -> CfgNode:
    """In each process: logs, config.yaml, seed and datasets; the config as it is run."""
    cfg = cfg.clone()
    cfg.defrost()
    folder = Path(cfg.OUTPUT_DIR)
    set_handlers([], logging.DEBUG)  # what showed the log before the run
    setup_logger(str(folder), distributed_rank=comm.get_rank(), name="hiera_det")
    logger.info("backend: detectron2")
    _set_device(cfg)
    _set_format(cfg)
    if comm.is_main_process():
        sums = record_data(cfg.DATASETS.SHA256, _data_sums(cfg, eval_only=eval_only), training=not eval_only)
        cfg.DATASETS.SHA256 = cfg.DATASETS.SHA256 if eval_only else sums
    if not eval_only:
        _register(cfg, "TRAIN")
    _register(cfg, "TEST")
    names = cfg.DATASETS.TEST if eval_only else (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    _check_datasets(cfg, names)
    cfg.freeze()
    default_setup(cfg, argparse.Namespace(eval_only=eval_only))
    return cfg


def _data_sums(cfg: CfgNode, *, eval_only: bool) -> dict[str, tuple[str, str]]:
    """Sum and place of the annotations of each dataset that this package reads, by its name."""
    names = cfg.DATASETS.TEST if eval_only else (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    return sums_of(filter(None, (find_dataset(cfg, name) for name in names)))


def _register(cfg: CfgNode, split: str) -> None:
    """Examine the datasets of a split and register them.

    Raises:
        ValueError: something is wrong with them.
    """
    names = []
    for name in cfg.DATASETS[split]:
        its = find_dataset(cfg, name)
        if its is None:
            names.append(name)
            continue
        given = Given.from_config(cfg, its, split)
        if comm.is_main_process():
            findings = Findings()
            # detectron2's mapper takes no other image in the place of one that it cannot read.
            read = examine_datasets({split: given}, findings, all_needed=(split,), only_8_bits=True)
            if split in read:
                examine_fit(cfg, read[split], findings, training=split == "TRAIN")
                examine_narrow(cfg, read[split], findings, training=split == "TRAIN")
            findings.report(logger)
            annotations = read[split]
        else:
            annotations = read_annotations(its.json_file, mask_format=given.mask_format)
        names.append(register_dataset(its, annotations))
    cfg.DATASETS[split] = tuple(names)


def _check_datasets(cfg: CfgNode, names: Sequence[str]) -> None:
    """See before the training that the datasets read here have the same classes, as many as the model, and a metric.

    Raises:
        ValueError: they do not.
    """
    read = {name: annotations for name in names if (annotations := annotations_of(name)) is not None}
    if read:
        first, *others = read.values()
        for other in others:
            check_same_classes(first.source, first.class_names, other.class_names, other.source)
        check_classes(cfg, list(read))
    for name in cfg.DATASETS.TEST:
        if (annotations := annotations_of(name)) is not None:
            Evaluator(cfg, annotations, Path(cfg.OUTPUT_DIR))  # which refuses metrics that it cannot compute


def _set_device(cfg: CfgNode) -> None:
    """The CPU where there is no GPU, without the mixed precision that needs one."""
    cfg.MODEL.DEVICE = str(available_device(cfg.MODEL.DEVICE))
    if cfg.MODEL.DEVICE == "cpu" and cfg.SOLVER.AMP.ENABLED:
        logger.info("SOLVER.AMP.ENABLED is for GPUs: computing in fp32 on the CPU")
        cfg.SOLVER.AMP.ENABLED = False


def _set_format(cfg: CfgNode) -> None:
    """For one channel the format by which detectron2 reads grey.

    Raises:
        ValueError: there are four channels, of which it would resize the fourth as transparency.
    """
    channels = len(cfg.MODEL.PIXEL_MEAN)
    if channels == 1 and cfg.INPUT.FORMAT != "L":
        logger.info("MODEL.PIXEL_MEAN has one value: INPUT.FORMAT is L in place of %s", cfg.INPUT.FORMAT)
        cfg.INPUT.FORMAT = "L"
    if channels == 4:
        raise ValueError(
            "MODEL.PIXEL_MEAN has 4 values, but detectron2 would take a fourth channel for transparency and weigh the"
            " colours with it; take --backend torchvision"
        )


def _train(cfg: CfgNode, resume: bool) -> None:
    with _config_kept(Path(cfg.OUTPUT_DIR) / "config.yaml"):
        cfg = _prepare(cfg, eval_only=False)
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume)
    trainer.train()


@contextmanager
def _config_kept(path: Path) -> Iterator[None]:
    """Put an earlier run's config back where the checks of this run fail: detectron2 writes its own before them."""
    before = path.read_bytes() if comm.is_main_process() and path.is_file() else None
    try:
        yield
    except Exception:
        if before is not None:
            with atomic_write(path) as temporary:
                temporary.write_bytes(before)
        raise


def _evaluate(cfg: CfgNode, resume: bool) -> None:
    cfg = _prepare(cfg, eval_only=True)
    if not cfg.DATASETS.TEST:
        raise ValueError("DATASETS.TEST is empty: name a dataset, or give --dataset-json and --image-root")
    model = Trainer.build_model(cfg)
    trained = read_trained(cfg.MODEL.WEIGHTS)
    for name in cfg.DATASETS.TEST:
        check_same_classes(cfg.MODEL.WEIGHTS, trained.description.class_names, classes_of(name)[0], f"dataset {name}")
    load_trained(model, trained)
    Trainer.test(cfg, model)
