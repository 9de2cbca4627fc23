"""Extraction on a Ray cluster: Ray Data hands parts of the plan to actors, each with the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import ray
import torch
from fvcore.common.config import CfgNode

from hiera_det.features.extract import extract_parts
from hiera_det.features.load import load_extractor
from hiera_det.inputs.items import Plan

__all__ = ["extract_on_cluster"]

_PARTS_AT_ONCE = 16  # that an actor gets: within them, decoding and writing overlap the model


class _Actor:
    """A process with the model, on a GPU of its own where there are some."""

    def __init__(self, cfg: CfgNode, plan: Plan, root: Path) -> None:
        self.model = load_extractor(cfg)
        self.cfg, self.plan, self.root = cfg, plan, root

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, list[str]]:
        """Numbers of parts to what went wrong; an exception would reach the driver as one of Ray's."""
        parts = [int(part) for part in rows["part"]]
        try:
            extract_parts(self.model, self.plan, parts, self.root, self.cfg)
        except (OSError, ValueError) as error:
            return {"error": [str(error)]}
        return {"error": [""]}


def extract_on_cluster(cfg: CfgNode, plan: Plan, parts: Sequence[int], root: str | Path) -> None:
    """Compute parts of a plan on the cluster that ``ray.init`` finds (``RAY_ADDRESS``), or one on this machine.

    The package has to be installed on all machines. As many actors work as there are GPUs with ``MODEL.DEVICE`` "cuda",
    otherwise as many as fit the CPUs, each with its decoding processes.

    Args:
        cfg: see ``hiera_det/features/config.py``.
        plan: the items; their files and ``root`` have to be reachable from all machines.
        parts: numbers of the parts to do.
        root: the store.

    Raises:
        ValueError: a shard cannot be written.
    """
    if not parts:
        return
    if not ray.is_initialized():
        ray.init()
    gpus = int(ray.cluster_resources().get("GPU", 0)) if torch.device(cfg.MODEL.DEVICE).type == "cuda" else 0
    machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    cpus_each = max(min(1 + cfg.DATALOADER.NUM_WORKERS, max(machines)), 1)
    actors = gpus or max(sum(cpus // cpus_each for cpus in machines), 1)
    at_once = min(_PARTS_AT_ONCE, -(-len(parts) // actors))
    blocks = -(-len(parts) // at_once)
    dataset = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=blocks)
    done = dataset.map_batches(
        _Actor,
        fn_constructor_args=(cfg, plan, Path(root).absolute()),
        batch_size=at_once,
        num_gpus=1 if gpus else 0,
        num_cpus=cpus_each,
        concurrency=min(actors, blocks),
    )
    for row in done.iter_rows():
        if row["error"]:
            raise ValueError(row["error"])
