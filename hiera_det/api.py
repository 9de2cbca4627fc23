"""The package in Python: load a model, train one, evaluate one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiera_det.config import find_config
from hiera_det.data.catalog import custom_dataset
from hiera_det.engine import run
from hiera_det.engine.options import RunOptions
from hiera_det.tasks import (
    build_task,
    defaults_of,
    load_evaluation_config,
    load_run_config,
    load_trained_model,
    read_data,
    task_of,
)
from hiera_det.weights.formats import CLASSIFIER
from hiera_det.weights.hiera import hiera_in
from hiera_det.weights.read import read_checkpoint
from hiera_det.weights.source import local_file
from hiera_det.weights.trained import find_trained, read_trained

__all__ = ["Dataset", "evaluate", "load", "train"]

Dataset = tuple[str | Path, str | Path]
"""A COCO-format JSON and the folder of its images."""
_ONE_DEVICE = RunOptions()


def load(source: str | os.PathLike[str], *, device: str = "auto", config: str | Path | None = None) -> Any:
    """Load a model of any kind, ready to use.

    Args:
        source: a file, a run's folder, a folder or repository of ``save_pretrained`` (``hf://owner/name``), a URL, or
            a name of the zoo such as "hiera_base_224.mae_in1k_ft_in1k".
        device: "auto" (the GPU where there is one), "cpu", "cuda" or "cuda:<index>".
        config: for checkpoints that do not hold their config, as those of version 0.1.0: the config.yaml of their run.

    Returns:
        By what the weights are: a detector (:class:`~hiera_det.detection.predictor.DetectionPredictor`), an action
        detector (``hiera_det.projects.ava.predictor.ActionPredictor``), a classifier
        (:class:`~hiera_det.features.classification.classifier.Classifier`), or a backbone
        (:class:`~hiera_det.features.single.Extractor`).

    Raises:
        FileNotFoundError: the weights cannot be had.
        ValueError: they cannot be read, are damaged, or do not fit their config; or there is no such device.
    """
    source = os.fspath(source)
    path = local_file(source)
    checkpoint = read_checkpoint(path)
    trained = find_trained(checkpoint, path, source)
    if trained is not None:
        return load_trained_model(trained, device=device, config=config)
    if config is not None:
        raise ValueError(f"{source} is no detector or action detector: it takes no config")
    weights = hiera_in(checkpoint, path, source)
    if set(CLASSIFIER) <= weights.classifier.keys():
        from hiera_det.features.classification.classifier import load_classifier

        return load_classifier(source, device)
    from hiera_det.features.single import Extractor

    return Extractor.from_weights(weights, source, device)


def train(
    config: str | Path,
    *,
    data: str | Path | None = None,
    train: Dataset | None = None,
    test: Dataset | None = None,
    output_dir: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    options: RunOptions = _ONE_DEVICE,
) -> dict[str, float]:
    """Train a model on the torchvision backend; all output goes to a folder.

    Args:
        config: a YAML file, or the name of a shipped one, such as "mask_rcnn_hiera_t" or "ava/hiera_l_16x4".
        data: for detectors, a folder or file of COCO, YOLO, Pascal VOC and other formats, with their splits or without:
            in place of ``train`` and ``test``.
        train: for detectors, a COCO-format JSON and the folder of its images, in place of ``DATASETS.TRAIN``. The
            number of classes is the JSON's, unless an override or the config file gives another than COCO's 80.
        test: likewise in place of ``DATASETS.TEST``; None with ``train``: nothing is evaluated.
        output_dir: in place of ``OUTPUT_DIR``.
        overrides: values of config keys, ``{"SOLVER.MAX_ITER": 100}``.
        resume: continue from the folder's last checkpoint, if there is one.
        options: devices, precision and accumulation of gradients.

    Returns:
        The metrics of the last evaluation by name, such as "bbox/AP" in percent, or "mAP" of actions from 0 to 1; NaN
        where one is not defined. Empty without a test set.

    Raises:
        ValueError, OSError: bad config, data, weights or output folder; the message says which.
        FloatingPointError: the loss is not finite.
        SystemExit: a SIGTERM came, and a checkpoint is written.
    """
    path = find_config(config)
    train_files, test_files = (None if given is None else custom_dataset(*given) for given in (train, test))
    defaults = defaults_of(task_of(path))
    words = _words(overrides)
    if output_dir is not None:
        words += ["OUTPUT_DIR", str(output_dir)]
    task = build_task(
        load_run_config(path, words, defaults, train_files, test_files, data=read_data(data, defaults), resume=resume)
    )
    metrics = run.train(task, options, resume=resume)
    return {} if metrics is None else task.scalars(metrics)


def evaluate(
    source: str | os.PathLike[str],
    *,
    data: str | Path | None = None,
    test: Dataset | None = None,
    output_dir: str | Path | None = None,
    config: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    options: RunOptions = _ONE_DEVICE,
) -> dict[str, float]:
    """Evaluate a trained model on the torchvision backend.

    Args:
        source: a checkpoint, a run's folder, or what else :func:`load` takes.
        data: for detectors, a folder or file of any format, of which the test images are taken, in place of ``test``.
        test: for detectors, a COCO-format JSON and the folder of its images; None: ``DATASETS.TEST`` of its config.
        output_dir: gets ``inference/``; None: the run's folder if ``source`` is one, else the config's ``OUTPUT_DIR``.
        config: as of :func:`load`.
        overrides: values of config keys.
        options: devices.

    Returns:
        As :func:`train`.

    Raises:
        ValueError, OSError: bad config, data, weights or output folder, or other classes than the data's.
    """
    source = os.fspath(source)
    trained = read_trained(source)
    defaults, words = defaults_of(trained.task), _words(overrides)
    cfg = load_evaluation_config(
        *(trained, source, defaults),
        config=config,
        overrides=words,
        output_dir=output_dir,
        test_files=None if test is None else custom_dataset(*test),
        data=read_data(data, defaults),
    )
    task = build_task(cfg)
    return task.scalars(run.evaluate(task, options))


def _words(overrides: Mapping[str, Any] | None) -> list[Any]:
    return [word for pair in (overrides or {}).items() for word in pair]
