"""The tasks by their names, as configs and checkpoints have them; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiera_det.config import CfgNode, load_config
from hiera_det.config.load import read_yaml
from hiera_det.data.catalog import DatasetFiles

if TYPE_CHECKING:
    from hiera_det.engine.predictor import Predictor
    from hiera_det.engine.task import Task
    from hiera_det.weights.trained import TrainedModel

__all__ = [
    "build_task",
    "defaults_of",
    "load_evaluation_config",
    "load_run_config",
    "load_trained_model",
    "predictor_class",
    "task_of",
]

_DEFAULTS = {  # of each task, the module and the function that gives its config
    "detection": ("hiera_det.config", "get_cfg"),
    "actions": ("hiera_det.projects.ava.config", "defaults"),
    "pretraining": ("hiera_det.pretraining.config", "defaults"),
}
_PREDICTORS = {
    "detection": ("hiera_det.detection.predictor", "DetectionPredictor"),
    "actions": ("hiera_det.projects.ava.predictor", "ActionPredictor"),
}


def defaults_of(task: str) -> CfgNode:
    """A new config with the defaults of every key of a task.

    Raises:
        ValueError: what it needs is not installed.
    """
    module, name = _DEFAULTS[task]
    return getattr(_imported(module), name)()


def predictor_class(task: str) -> type[Predictor]:
    """The class that predicts, by the task's name.

    Raises:
        ValueError: what it needs is not installed, or the task's models predict nothing.
    """
    if task not in _PREDICTORS:
        raise ValueError(
            f"a model of {task} detects nothing: name it as MODEL.WEIGHTS of a detector, or extract its features"
        )
    module, name = _PREDICTORS[task]
    return getattr(_imported(module), name)


def load_trained_model(
    trained: TrainedModel,
    *,
    device: str = "auto",
    config: str | Path | None = None,
    overrides: Sequence[Any] = (),
) -> Predictor:
    """What predicts with a trained model; arguments as of :func:`load`, and alternating keys and values."""
    return predictor_class(trained.task).from_trained(trained, config=config, overrides=overrides, device=device)


def task_of(path: Path, default: str = "detection") -> str:
    """The task that a config file names by ``TASK``.

    Raises:
        ValueError: it names one that there is not.
    """
    name = read_yaml(path).get("TASK", default)
    if name not in _DEFAULTS:
        raise ValueError(f"{path}: TASK is {name!r}; expected one of {', '.join(_DEFAULTS)}")
    return name


def load_run_config(
    path: Path,
    overrides: Sequence[Any],
    defaults: CfgNode,
    train_files: DatasetFiles | None = None,
    test_files: DatasetFiles | None = None,
) -> CfgNode:
    """Read the config of a training, and fit it to one's own data: number of classes, no test set of other data.

    Args:
        path: the YAML file.
        overrides: alternating keys and values.
        defaults: all keys of the task and backend.
        train_files: in place of ``DATASETS.TRAIN``.
        test_files: in place of ``DATASETS.TEST``.

    Raises:
        ValueError: as of :func:`~hiera_det.config.load_config`, or the annotations are not as expected.
    """
    words = list(overrides)
    if train_files is not None and test_files is None:
        words += ["DATASETS.TEST", "()"]
    cfg = load_config(path, words, defaults)
    if train_files is not None:
        cfg.defrost()
        from hiera_det.coco.classes import class_overrides  # with pycocotools, which a command's help does without

        cfg.merge_from_list(class_overrides(cfg, words, train_files))
        cfg.freeze()
    return cfg


def load_evaluation_config(
    trained: TrainedModel,
    source: str,
    defaults: CfgNode,
    *,
    config: str | Path | None = None,
    overrides: Sequence[Any] = (),
    output_dir: str | Path | None = None,
) -> CfgNode:
    """The config of an evaluation: a trained model's, whose results go to the folder of its run.

    Args:
        trained: the model.
        source: of it, as the user named it.
        defaults: all keys of the task and backend.
        config: see :func:`~hiera_det.weights.trained.config_of`.
        overrides: alternating keys and values.
        output_dir: in place of the run's folder, or where ``source`` is none, of ``OUTPUT_DIR``.

    Raises:
        FileNotFoundError, ValueError: as of :func:`~hiera_det.weights.trained.config_of`.
    """
    from hiera_det.weights.trained import config_of  # with torch, which a command's help does without

    if output_dir is None and Path(source).is_dir():
        output_dir = source
    words = overrides if output_dir is None else [*overrides, "OUTPUT_DIR", str(output_dir)]
    return config_of(trained, defaults, config, words)


def build_task(cfg: CfgNode, train_files: DatasetFiles | None = None, test_files: DatasetFiles | None = None) -> Task:
    """The task of a config.

    Raises:
        ValueError: what it needs is not installed, or files are given for a task that takes them from its config.
    """
    if cfg.TASK == "detection":
        return _imported("hiera_det.detection.task").DetectionTask(cfg, train_files, test_files)
    if cfg.TASK == "pretraining" and train_files is test_files is None:
        return _imported("hiera_det.pretraining.task").PretrainingTask(cfg)
    if cfg.TASK == "pretraining":
        raise ValueError("pretraining takes no --dataset-json: give COCO files by --input, or as DATASETS.TRAIN")
    if train_files is not None or test_files is not None:
        raise ValueError("for action detection the config names the data: DATASETS.ROOT and the keys beside it")
    return _imported("hiera_det.projects.ava.task").ActionTask(cfg)


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("hiera_det"):
            raise
        raise ValueError(f"action detection needs {error.name}: pip install 'hiera_det[ava]'") from error
