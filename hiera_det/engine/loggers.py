"""Lightning's loggers, as ``LOGGERS`` names them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from fvcore.common.config import CfgNode
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

__all__ = ["build_loggers", "check_loggers", "log_image"]

LOGGERS = ("tensorboard", "csv", "wandb", "mlflow")
_TRACKING = "MLFLOW_TRACKING_URI"


class _TensorBoard(TensorBoardLogger):
    def save(self) -> None:
        """Flush; Lightning's own also writes a file of hyperparameters, of which there are none."""
        self.experiment.flush()


def check_loggers(cfg: CfgNode) -> None:
    """See that ``LOGGERS`` names what there is.

    Raises:
        ValueError: an unknown logger, or one whose package is not installed.
    """
    for name in cfg.LOGGERS:
        if name not in LOGGERS:
            raise ValueError(f"LOGGERS has {name!r}; expected some of {', '.join(LOGGERS)}")
        if name in ("wandb", "mlflow") and find_spec(name) is None:
            raise ValueError(f"LOGGERS has {name!r}, which is not installed: pip install {name}")
        if name == "mlflow" and _TRACKING not in os.environ and find_spec("sqlalchemy") is None:
            raise ValueError(f"LOGGERS has 'mlflow': without {_TRACKING} it needs a database: pip install mlflow")


def build_loggers(cfg: CfgNode, iteration: int) -> list[Logger]:
    """Build the loggers of ``LOGGERS``; what they write goes to ``OUTPUT_DIR``.

    TensorBoard: event files in the folder itself; csv: ``csv/version_<n>/metrics.csv``, a new one at each start; W&B
    and MLflow: a run named after the folder. ``WANDB_MODE``, ``WANDB_PROJECT``, ``MLFLOW_TRACKING_URI`` (by default
    ``mlflow.db`` in the folder) and ``MLFLOW_EXPERIMENT_NAME`` hold.

    Args:
        cfg: the config.
        iteration: at which the run goes on; TensorBoard hides what an interrupted run wrote from there on.
    """
    folder = Path(cfg.OUTPUT_DIR)
    uri = os.environ.get(_TRACKING, f"sqlite:///{folder.absolute()}/mlflow.db")
    artifacts = None if _TRACKING in os.environ else (folder.absolute() / "mlruns").as_uri()
    builders: dict[str, Callable[[], Logger]] = {
        "tensorboard": lambda: _TensorBoard(folder, name="", version="", purge_step=iteration, flush_secs=30),
        "csv": lambda: CSVLogger(folder, name="csv", flush_logs_every_n_steps=1),
        "wandb": lambda: WandbLogger(folder.name, folder, project=os.environ.get("WANDB_PROJECT", "hiera_det")),
        "mlflow": lambda: MLFlowLogger(
            os.environ.get("MLFLOW_EXPERIMENT_NAME", "hiera_det"),
            run_name=folder.name,
            tracking_uri=uri,
            artifact_location=artifacts,
        ),
    }
    loggers = [builders[name]() for name in cfg.LOGGERS]
    for logger in loggers:
        logger.experiment  # type: ignore[attr-defined]  # noqa: B018  # begin now: a server that is not there shows early
    return loggers


def log_image(loggers: Iterable[Any], tag: str, image: np.ndarray, iteration: int) -> None:
    """Send an RGB uint8 image (H, W, 3) to the loggers that show images: TensorBoard, W&B and MLflow."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(tag, image, iteration, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(tag, [image], step=iteration)
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_image(logger.run_id, image, key=tag.replace("/", "_"), step=iteration)
