"""The tasks by their names, as configs and checkpoints have them; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiera_det.config import CfgNode, load_config, with_values
from hiera_det.config.resume import resumed_config
from hiera_det.config.yaml_files import read_yaml
from hiera_det.data.catalog import DatasetFiles, dataset_keys

if TYPE_CHECKING:
    from hiera_det.datasets.recognise import Dataset
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
    "read_data",
    "task_of",
]

_DEFAULTS = {  # of each task, the module and the function that gives its config
    "detection": ("hiera_det.config", "get_cfg"),
    "actions": ("hiera_det.projects.ava.config", "defaults"),
    "pretraining": ("hiera_det.pretraining.config", "defaults"),
}
_TASKS = {
    "detection": ("hiera_det.detection.task", "DetectionTask"),
    "actions": ("hiera_det.projects.ava.task", "ActionTask"),
    "pretraining": ("hiera_det.pretraining.task", "PretrainingTask"),
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
    if not isinstance(name, str) or name not in _DEFAULTS:
        raise ValueError(f"{path}: TASK is {name!r}; expected one of {', '.join(_DEFAULTS)}")
    return name


def load_run_config(
    path: Path,
    overrides: Sequence[Any],
    defaults: CfgNode,
    train_files: DatasetFiles | None = None,
    test_files: DatasetFiles | None = None,
    *,
    data: Dataset | None = None,
    training: bool = True,
    resume: bool = False,
) -> CfgNode:
    """Read the config of a training, and fit it to the data: files and number of classes of one's own, epochs.

    Args:
        path: the YAML file.
        overrides: alternating keys and values.
        defaults: all keys of the task and backend.
        train_files: in place of ``DATASETS.TRAIN``; then without ``test_files`` nothing is evaluated.
        test_files: in place of ``DATASETS.TEST``.
        data: of :func:`read_data`, in place of both. Where it has boxes alone, ``MODEL.MASK_ON`` is False unless it is
            given.
        training: False: nothing is trained, of `data` the part to evaluate on is taken alone.
        resume: go on from the checkpoint in ``OUTPUT_DIR``, if there is one: see
            :func:`~hiera_det.config.resume.resumed_config`.

    Raises:
        OSError: the annotations of `data` cannot be written.
        ValueError: as of :func:`~hiera_det.config.load_config`, or the annotations are not as expected, or the task
            takes no such files, or the config is not that of the checkpoint.
    """
    words = list(overrides)
    if data is not None:
        output_dir = load_config(path, words, defaults).OUTPUT_DIR
        if training:
            train_files, test_files = data.for_run(output_dir)
            words += data.without_masks(words)
        else:
            test_files = data.for_report(output_dir)
    words += _own_files(defaults, train_files, test_files)
    cfg = load_config(path, words, defaults)
    if cfg.TASK == "detection":
        from hiera_det.coco.fit_config import values_of_data  # with pycocotools, as below with torch: help does without

        cfg = with_values(cfg, values_of_data(cfg, words[::2], train_files))
    if resume:
        from hiera_det.weights.saved_config import read_saved_config

        if (saved := read_saved_config(cfg.OUTPUT_DIR, defaults)) is not None:
            return resumed_config(cfg, saved.config, set(words[::2]), saved.path)
    # A new run takes the data as they are, whatever a run was trained on whose config this is.
    return with_values(cfg, {"DATASETS.SHA256": []}) if train_files is not None else cfg


def read_data(path: str | Path | None, defaults: CfgNode) -> Dataset | None:
    """Read a folder or file of data in any format: see :mod:`hiera_det.datasets`. None: none is named.

    Args:
        path: the folder or file.
        defaults: all keys of the task.

    Raises:
        OSError: the data cannot be read.
        ValueError: they are not as expected, or the task takes no such data.
    """
    if path is None:
        return None
    if defaults.TASK != "detection":
        raise ValueError(f"--data is for detectors; this is a config of the task {defaults.TASK!r}")
    from hiera_det.datasets.recognise import read_dataset  # with pycocotools, as below with torch: help does without

    return read_dataset(path)


def _own_files(defaults: CfgNode, train: DatasetFiles | None, test: DatasetFiles | None) -> list[Any]:
    """Config keys and values for one's own files.

    Raises:
        ValueError: the task takes no such files.
    """
    words = dataset_keys(train, test)
    if words and defaults.TASK == "pretraining":
        raise ValueError("pretraining takes no --dataset-json: give COCO files by --input, or as DATASETS.TRAIN")
    if words and defaults.TASK == "actions":
        raise ValueError("for action detection the config names the data: DATASETS.ROOT and the keys beside it")
    return words


def load_evaluation_config(
    trained: TrainedModel,
    source: str,
    defaults: CfgNode,
    *,
    config: str | Path | None = None,
    overrides: Sequence[Any] = (),
    output_dir: str | Path | None = None,
    test_files: DatasetFiles | None = None,
    data: Dataset | None = None,
) -> CfgNode:
    """The config of an evaluation: a trained model's, whose results go to the folder of its run.

    Args:
        trained: the model.
        source: of it, as the user named it.
        defaults: all keys of the task and backend.
        config: see :func:`~hiera_det.weights.trained.config_of`.
        overrides: alternating keys and values.
        output_dir: in place of the run's folder, or where ``source`` is none, of ``OUTPUT_DIR``.
        test_files: in place of ``DATASETS.TEST``.
        data: likewise, of :func:`read_data`.

    Raises:
        OSError: the annotations of `data` cannot be written.
        FileNotFoundError, ValueError: as of :func:`~hiera_det.weights.trained.config_of`, or the task takes no such
            files.
    """
    from hiera_det.weights.trained import config_of  # with torch, which a command's help does without

    if output_dir is None and Path(source).is_dir():
        output_dir = source
    words = [*overrides, *([] if output_dir is None else ["OUTPUT_DIR", str(output_dir)])]
    if data is not None:
        test_files = data.for_report(config_of(trained, defaults, config, words).OUTPUT_DIR)
    words += _own_files(defaults, None, test_files)
    words += [] if test_files is None else ["DATASETS.SHA256", []]
    return config_of(trained, defaults, config, words)


def build_task(cfg: CfgNode) -> Task:
    """The task of a config.

    Raises:
        ValueError: what it needs is not installed, or as the task's own class.
    """
    module, name = _TASKS[cfg.TASK]
    return getattr(_imported(module), name)(cfg)


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("hiera_det"):
            raise
        raise ValueError(f"action detection needs {error.name}: pip install 'hiera_det[ava]'") from error
