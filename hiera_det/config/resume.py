"""The config of a resumed run: the checkpoint's, changed by what is given on the command line alone."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from textwrap import indent
from typing import Any

from fvcore.common.config import CfgNode
from tabulate import tabulate

from hiera_det.config.load import to_plain
from hiera_det.config.values import value_of, with_values
from hiera_det.utils.nested import shown

__all__ = ["check_iterations", "resumed_config"]

logger = logging.getLogger(__name__)

# Keys, and nodes with all their keys, that change neither the function that is trained nor the stream of its data.
_HARMLESS = (
    *("VERSION", "SEED", "LOGGERS", "VIS_PERIOD", "MODEL.WEIGHTS", "MODEL.DEVICE", "DATALOADER.NUM_WORKERS", "TEST"),
    *("MODEL.HIERA.ACTIVATION_CHECKPOINTING", "CUDNN_BENCHMARK", "GLOBAL"),
    *("MODEL.ROI_HEADS.NUM_CLASSES", "MODEL.RETINANET.NUM_CLASSES"),  # compared with weights and data
    *("INPUT.MAX_PIXELS", "INPUT.BOX_EXTENSION"),  # the latter in evaluation, as keys that end with _TEST
    *("SOLVER.MAX_ITER", "SOLVER.WARMUP_ITERS", "SOLVER.CHECKPOINT_PERIOD"),
    # Places of the data: their content is compared by SHA-256.
    *(f"DATASETS.{name}" for name in ("TRAIN", "TEST", "FILES", "SHA256", "ROOT", "IMAGE_ROOT", "LABEL_MAP")),
    *(f"DATASETS.{name}" for name in ("FRAMES", "VIDEOS", "FRAME_LISTS", "TRAIN_BOXES", "TEST_BOXES", "EXCLUSIONS")),
)
# Of a pretraining the iterations come from the epochs, unless they are given themselves.
_OF_EPOCHS = {"SOLVER.MAX_EPOCHS": "SOLVER.MAX_ITER", "SOLVER.WARMUP_EPOCHS": "SOLVER.WARMUP_ITERS"}
_NOT_SHOWN = ("OUTPUT_DIR", "DATASETS.SHA256")  # another folder than before, or what no config file has


def resumed_config(cfg: CfgNode, saved: CfgNode, given: Collection[str], checkpoint: object) -> CfgNode:
    """Give the config that a run goes on with, and log what differs from the checkpoint's.

    What is given on the command line holds. Of what is not, the checkpoint's value holds; but where a key that changes
    the function or the data stream differs, the config file is another than the run's, and that is refused.

    Args:
        cfg: of this command.
        saved: the checkpoint's, with the same keys.
        given: keys that this command line gives.
        checkpoint: the file, for messages.

    Raises:
        ValueError: such a key differs and is not given.
    """
    given = {*given, "OUTPUT_DIR", *(its for epochs, its in _OF_EPOCHS.items() if epochs in given)}
    rows, refused, held = [], [], {}
    for key, now, then in _changes(cfg, saved):
        if key not in given:
            if not _is_harmless(key):
                refused.append(key)
            held[key] = value_of(saved, key)
        if key not in _NOT_SHOWN:
            holder = "this command line's" if key in given else "the checkpoint's"
            rows.append((key, shown(then), shown(now), holder))
    if refused:
        raise ValueError(
            f"--resume: this config is not that of {checkpoint}, and would be another run:"
            f"{_table([row[:3] for row in rows if row[0] in refused])}\n"
            "Give these keys on the command line with the values that shall hold, take the run's own config.yaml as"
            " --config, or train without --resume"
        )
    if rows:
        logger.info("--resume: what differs from the config of %s:%s", checkpoint, _table(rows))
    return with_values(cfg, held)


def check_iterations(cfg: CfgNode, checkpoint: Mapping[str, Any], source: object) -> None:
    """Check that a run shall not end before the checkpoint that it goes on from.

    Args:
        cfg: of the run.
        checkpoint: with "iteration", the last finished one, counted from 0.
        source: the checkpoint, for the message.

    Raises:
        ValueError: it shall.
    """
    done, wanted = checkpoint.get("iteration", -1) + 1, cfg.SOLVER.MAX_ITER
    if wanted < done:
        raise ValueError(f"SOLVER.MAX_ITER is {wanted}, but {source} has {done} iterations: give as many")


def _changes(cfg: CfgNode, saved: CfgNode) -> Iterator[tuple[str, Any, Any]]:
    """Give each key whose value differs, with this config's value and the saved one's."""
    then = dict(_flat(to_plain(saved)))
    for key, value in _flat(to_plain(cfg)):
        if value != then[key]:
            yield key, value, then[key]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_harmless(key: str) -> bool:
    return key.endswith("_TEST") or any(key == name or key.startswith(f"{name}.") for name in _HARMLESS)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as text: key, the checkpoint's value, this command's, and which holds."""
    header = ("key", "checkpoint", "this command", "what holds")[: len(rows[0])]
    return "\n" + indent(tabulate(rows, header, tablefmt="plain", disable_numparse=True), "  ")
