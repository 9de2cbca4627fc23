"""Runs on detectron2: its ``DefaultTrainer`` with this project's recipe, weights and datasets."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.config import get_cfg as get_detectron2_cfg
from detectron2.data import build_detection_train_loader
from detectron2.engine import DefaultTrainer, default_setup, launch
from detectron2.evaluation import COCOEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from hiera_det import config
from hiera_det.data.datasets import DatasetFiles
from hiera_det.engine.launch import Launch
from hiera_det.evaluation.coco import write_metrics
from hiera_det.files import make_folder
from hiera_det.hiera.checkpoints import read_checkpoint
from hiera_det.hosts.detectron2.data import build_mapper, check_classes, register_dataset, register_named
from hiera_det.optim import build_optimizer, clip_gradients
from hiera_det.weights import read_trained, read_weights

__all__ = ["Trainer", "evaluate", "get_cfg", "train"]

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """``DefaultTrainer`` with ``SOLVER.OPTIMIZER``, large-scale jitter, COCO's AP, and the original's weights."""

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
        """The recipe's optimizer and parameter groups, with ``SOLVER.CLIP_GRADIENTS``."""
        optimizer = build_optimizer(cfg, model)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.register_step_pre_hook(lambda *_: clip_gradients(cfg, parameters))
        return optimizer

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        """detectron2's loader, with large-scale jitter where ``INPUT.CROP`` asks for it."""
        loader = build_detection_train_loader(cfg, mapper=build_mapper(cfg))
        check_classes(cfg, cfg.DATASETS.TRAIN)
        return loader

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        """detectron2's loader."""
        loader = super().build_test_loader(cfg, dataset_name)
        check_classes(cfg, [dataset_name])
        return loader

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> COCOEvaluator:
        """COCO's box and mask AP."""
        return COCOEvaluator(dataset_name, output_dir=str(_inference_folder(cfg, dataset_name)))

    @classmethod
    def test(cls, cfg: CfgNode, model: torch.nn.Module, evaluators: Any = None) -> Any:
        """Evaluate as detectron2 does; also writes ``metrics.json``, as the torchvision host."""
        results = super().test(cfg, model, evaluators)
        names = cfg.DATASETS.TEST
        if comm.is_main_process():
            for name, metrics in {names[0]: results}.items() if len(names) == 1 else results.items():
                write_metrics(_inference_folder(cfg, name) / "metrics.json", name, metrics)
        return results

    def resume_or_load(self, resume: bool = True) -> None:
        """Resume from ``OUTPUT_DIR/last_checkpoint``, or load ``MODEL.WEIGHTS``.

        Raises:
            ValueError, OSError: the weights are bad, or the checkpoint is not of a run on this host.
        """
        if not (resume and self.checkpointer.has_checkpoint()):
            model = _bare(self.model)
            model.load_state_dict(read_weights(self.cfg.MODEL.WEIGHTS, model, model.state_dict()))
            return
        path = Path(self.checkpointer.get_checkpoint_file())
        if "trainer" not in read_checkpoint(path):
            raise ValueError(
                f"{path} cannot be resumed from: it is not a checkpoint of detectron2's trainer. Resume on the host"
                f" that wrote it (--host torchvision), or start anew from its weights with MODEL.WEIGHTS {path} and"
                " without --resume"
            )
        super().resume_or_load(resume=True)


def get_cfg() -> CfgNode:
    """detectron2's defaults with this project's keys."""
    cfg = get_detectron2_cfg()
    config.add_hiera_config(cfg)
    return cfg


def train(
    cfg: CfgNode,
    flags: Launch,
    *,
    resume: bool = False,
    train_files: DatasetFiles | None = None,
    test_files: DatasetFiles | None = None,
) -> None:
    """Train to ``SOLVER.MAX_ITER``, evaluating on the way and at the end; all output goes to ``OUTPUT_DIR``.

    Args:
        cfg: the config.
        flags: how many GPUs and machines.
        resume: continue from ``OUTPUT_DIR/last_checkpoint``, if there is one.
        train_files: in place of ``DATASETS.TRAIN``.
        test_files: in place of ``DATASETS.TEST``.

    Raises:
        ValueError, OSError: bad config, flags, data, weights or output folder; the message says which.
        FloatingPointError: the loss is not finite.
    """
    _launch(_train, cfg, flags, (train_files, test_files), resume)


def evaluate(cfg: CfgNode, flags: Launch, *, test_files: DatasetFiles | None = None) -> None:
    """Evaluate ``MODEL.WEIGHTS`` on ``DATASETS.TEST``; results go to ``OUTPUT_DIR/inference``.

    Args:
        cfg: the config.
        flags: how many GPUs and machines.
        test_files: in place of ``DATASETS.TEST``.

    Raises:
        ValueError, OSError: bad config, flags, data, weights or output folder; the message says which.
    """
    _launch(_evaluate, cfg, flags, (None, test_files), False)


def _launch(job: Any, cfg: CfgNode, flags: Launch, files: tuple, resume: bool) -> None:
    cfg = cfg.clone()
    cfg.defrost()
    _set_device(cfg, flags)
    make_folder(cfg.OUTPUT_DIR, "OUTPUT_DIR")
    launch(
        job,
        max(flags.num_gpus, 1),
        num_machines=flags.num_machines,
        machine_rank=flags.machine_rank,
        dist_url=flags.dist_url,
        args=(cfg, files, resume),
    )


def _set_device(cfg: CfgNode, flags: Launch) -> None:
    """The CPU where there is no GPU, without the mixed precision that needs one."""
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if flags.num_gpus > available:
        raise ValueError(f"--num-gpus {flags.num_gpus}, but there are {available} GPUs here")
    if flags.precision is not None or flags.accumulate != 1:
        raise ValueError("--precision and --accumulate are the torchvision host's; here: SOLVER.AMP.ENABLED")
    if not available and cfg.MODEL.DEVICE != "cpu":
        logger.warning("MODEL.DEVICE is %s, but no GPU is available: running on the CPU", cfg.MODEL.DEVICE)
        cfg.MODEL.DEVICE = "cpu"
    if cfg.MODEL.DEVICE == "cpu" and cfg.SOLVER.AMP.ENABLED:
        logger.info("SOLVER.AMP.ENABLED is for GPUs: computing in fp32 on the CPU")
        cfg.SOLVER.AMP.ENABLED = False


def _prepare(cfg: CfgNode, files: tuple, *, eval_only: bool) -> None:
    """In each process: logs, config.yaml, seed and datasets."""
    for split, given in zip(("TRAIN", "TEST"), files, strict=True):
        if given is not None:
            cfg.DATASETS[split] = (register_dataset(given),)
    cfg.freeze()
    register_named((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))
    folder = Path(cfg.OUTPUT_DIR)
    setup_logger(str(folder), distributed_rank=comm.get_rank(), name="hiera_det")
    default_setup(cfg, argparse.Namespace(eval_only=eval_only))


def _train(cfg: CfgNode, files: tuple, resume: bool) -> None:
    _prepare(cfg, files, eval_only=False)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    trainer.train()


def _evaluate(cfg: CfgNode, files: tuple, resume: bool) -> None:
    _prepare(cfg, files, eval_only=True)
    if not cfg.DATASETS.TEST:
        raise ValueError("DATASETS.TEST is empty: name a dataset, or give --dataset-json and --image-root")
    model = Trainer.build_model(cfg)
    model.load_state_dict(read_trained(cfg.MODEL.WEIGHTS, model.state_dict())["model"])
    Trainer.test(cfg, model)


def _inference_folder(cfg: CfgNode, dataset_name: str) -> Path:
    folder = Path(cfg.OUTPUT_DIR) / "inference"
    return folder if len(cfg.DATASETS.TEST) == 1 else folder / dataset_name


def _bare(model: torch.nn.Module) -> torch.nn.Module:
    return model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model
