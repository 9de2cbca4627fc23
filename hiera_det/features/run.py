"""A whole extraction: one process, the ranks of torchrun, or a Ray cluster, all into one store."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode
from tqdm import tqdm

import hiera_det
from hiera_det.config import with_values
from hiera_det.engine.distributed import on_rank_zero, torchrun_ranks
from hiera_det.features.extract import extract_parts
from hiera_det.features.load import load_extractor
from hiera_det.features.preprocess import Preprocess
from hiera_det.features.store.layout import done_parts
from hiera_det.features.store.writer import create_store, write_failed
from hiera_det.inputs.items import Item, Plan
from hiera_det.utils.files import file_sum
from hiera_det.weights.source import local_file

__all__ = ["ENGINES", "extract"]

logger = logging.getLogger(__name__)

ENGINES = ("torch", "ray")
# Of MODEL.HIERA: they do not change what a frozen backbone computes.
_INDIFFERENT_KEYS = ("DROP_PATH_RATE", "OUT_FEATURES", "ACTIVATION_CHECKPOINTING", "LAYER_DECAY")


def extract(cfg: CfgNode, items: Sequence[Item], root: str | Path, *, engine: str = "torch") -> int:
    """Extract the features of items into a store, or of those that an interrupted run left.

    Under torchrun every rank calls this with the same arguments, and each takes its share of the parts that are not
    done; with the engine "ray" one process does, and actors on the cluster take them. The store is the same.

    Args:
        cfg: see ``hiera_det/features/config.py``.
        items: of the whole store, in its order; the same on all ranks.
        root: its folder, on a file system that all processes see.
        engine: "torch" or "ray".

    Returns:
        How many items of the store could not be read.

    Raises:
        ValueError: bad config or weights, boxes that do not fit it, ranks that found other items, or the store is of
            other settings or items.
        OSError: the weights cannot be had, the folder holds something else, or it cannot be written to.
    """
    _check(cfg, items)
    plan = Plan(items, cfg.STORE.ITEMS_PER_SHARD)
    if engine == "ray":
        _extract_on_cluster(cfg, plan, root)
        return _end(root)
    if engine != "torch":
        raise ValueError(f"engine {engine!r}; expected one of {', '.join(ENGINES)}")
    with torchrun_ranks() as (rank, world_size):
        model = load_extractor(cfg)
        todo, digest = on_rank_zero(rank, partial(_begin, cfg, plan, root))
        if digest != plan.digest:
            raise ValueError(
                f"rank {rank} found other items than rank 0, {len(items)} of them: has a file come or gone meanwhile? "
                "Start again, or give a list of paths"
            )
        mine = todo[rank::world_size]
        count = sum(len(plan[part]) for part in mine)
        with tqdm(total=count, desc="items", disable=rank > 0, smoothing=0.05) as bar:
            extract_parts(model, plan, mine, root, cfg, progress=bar.update)
        return on_rank_zero(rank, partial(_end, root))


def spec_of(cfg: CfgNode) -> dict[str, Any]:
    """What the features depend on, as the store keeps it: all keys of the config but where and how fast to compute."""
    keys = {f"{node}.{key}": value for node in ("INPUT", "FEATURES") for key, value in cfg[node].items()}
    keys["DATALOADER.BATCH_SIZE"] = cfg.DATALOADER.BATCH_SIZE  # last digits may depend on it
    return {
        **keys,
        **{f"MODEL.HIERA.{key}": value for key, value in cfg.MODEL.HIERA.items() if key not in _INDIFFERENT_KEYS},
        **{f"MODEL.{key}": cfg.MODEL[key] for key in ("PIXEL_MEAN", "PIXEL_STD")},
        "model": cfg.MODEL.HIERA.NAME,
        "weights_sha256": file_sum(local_file(cfg.MODEL.WEIGHTS)),
        "package_version": hiera_det.__version__,
    }


def _check(cfg: CfgNode, items: Sequence[Item]) -> None:
    """Before anything is written: a store that was begun with a wrong config would refuse the right one."""
    Preprocess(cfg)
    wanted, there = "roi" in cfg.FEATURES.VECTORS, any(item.boxes for item in items)
    if wanted and not there:
        raise ValueError("FEATURES.VECTORS has roi, but no item has boxes: give them, or leave roi out")
    if there and not wanted:
        raise ValueError("boxes are given, but FEATURES.VECTORS has no roi: add it, or leave the boxes out")


def _begin(cfg: CfgNode, plan: Plan, root: str | Path) -> tuple[list[int], str]:
    """The parts that are not done, and the digest of the plan."""
    create_store(root, spec_of(cfg), plan)
    done = done_parts(root)
    if done:
        logger.info("%s: %d of %d shards are there, going on with the others", root, len(done), len(plan))
    return sorted(set(range(len(plan))) - done), plan.digest


def _extract_on_cluster(cfg: CfgNode, plan: Plan, root: str | Path) -> None:
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError("--engine ray starts its own processes: run it without torchrun")
    try:
        from hiera_det.features.cluster import extract_on_cluster
    except ModuleNotFoundError as error:
        raise ValueError(f"--engine ray: pip install 'hiera_det[cluster]' ({error})") from error
    # Workers have other working folders.
    weights = str(local_file(cfg.MODEL.WEIGHTS).absolute()) if cfg.MODEL.WEIGHTS else ""
    local = with_values(cfg, {"MODEL.WEIGHTS": weights})
    load_extractor(with_values(local, {"MODEL.DEVICE": "cpu"}))  # errors show here, and the GPUs stay free
    todo, _ = _begin(cfg, plan, root)
    extract_on_cluster(local, plan, todo, root)


def _end(root: str | Path) -> int:
    """Write the list of what could not be read; how many items that is."""
    failed = write_failed(root)
    if failed:
        logger.warning("%d items could not be read: %s says why", failed, Path(root) / "failed.csv")
    return failed
