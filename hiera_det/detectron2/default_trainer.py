"""detectron2's ``DefaultTrainer`` with this project's recipe, weights and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import build_detection_train_loader
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import COCOEvaluator, DatasetEvaluator
from detectron2.utils import comm

from hiera_det.config.resume import check_iterations
from hiera_det.data.class_names import check_same_classes
from hiera_det.detectron2.checkpoints import describe_checkpoints
from hiera_det.detectron2.data import annotations_of, build_mapper, check_classes, classes_of
from hiera_det.detectron2.evaluation import Evaluator
from hiera_det.engine.optim import build_optimizer, clip_gradients
from hiera_det.utils.files import write_json
from hiera_det.weights.description import Description
from hiera_det.weights.load import check_same_model, load_weights
from hiera_det.weights.read import read_checkpoint
from hiera_det.weights.source import last_checkpoint

__all__ = ["Trainer"]


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
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """COCO's box and mask AP; of datasets from elsewhere by detectron2's own evaluator."""
        folder, annotations = _inference_folder(cfg, dataset_name), annotations_of(dataset_name)
        if annotations is None:
            return COCOEvaluator(dataset_name, output_dir=str(folder))
        return Evaluator(cfg, annotations, folder)

    @classmethod
    def test(cls, cfg: CfgNode, model: torch.nn.Module, evaluators: Any = None) -> Any:
        """Evaluate as detectron2 does; also writes ``metrics.json``, as the torchvision backend.

        Returns:
            detectron2's results without what is not defined: its writers would write NaN, which JSON lacks.
        """
        results = super().test(cfg, model, evaluators)
        names = cfg.DATASETS.TEST
        if comm.is_main_process():
            for name, metrics in {names[0]: results}.items() if len(names) == 1 else results.items():
                write_json(_inference_folder(cfg, name) / "metrics.json", {"dataset": name, **metrics}, indent=1)
        return _defined(results)

    def resume_or_load(self, resume: bool = True) -> None:
        """Resume from ``OUTPUT_DIR/last_checkpoint``, or load ``MODEL.WEIGHTS``.

        Raises:
            ValueError, OSError: the weights are bad, or the checkpoint is of another model, of other classes or of the
                other backend.
        """
        model = _bare(self.model)
        path = last_checkpoint(self.cfg.OUTPUT_DIR) if resume else None
        if path is None:
            describe_checkpoints(self, load_weights(model, self.cfg.MODEL.WEIGHTS).licence)
            return
        checkpoint = read_checkpoint(path)
        if "trainer" not in checkpoint:
            raise ValueError(
                f"{path} cannot be resumed from: it is not a checkpoint of detectron2's trainer. Resume on the backend"
                f" that wrote it (--backend torchvision), or start anew from its weights with MODEL.WEIGHTS {path} and"
                " without --resume"
            )
        check_iterations(self.cfg, checkpoint, path)
        check_same_model(checkpoint["model"], model.state_dict(), str(path))
        description = Description.from_plain(checkpoint, str(path))
        dataset = self.cfg.DATASETS.TRAIN[0]
        check_same_classes(str(path), description.class_names, classes_of(dataset)[0], f"dataset {dataset}")
        describe_checkpoints(self, description.licence or "none")
        super().resume_or_load(resume=True)


def _defined(results: Any) -> Any:
    """Nested results without NaN."""
    if isinstance(results, dict):
        return type(results)((name, _defined(value)) for name, value in results.items() if value == value)
    return results


def _inference_folder(cfg: CfgNode, dataset_name: str) -> Path:
    folder = Path(cfg.OUTPUT_DIR) / "inference"
    return folder if len(cfg.DATASETS.TEST) == 1 else folder / dataset_name


def _bare(model: torch.nn.Module) -> torch.nn.Module:
    return model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model
