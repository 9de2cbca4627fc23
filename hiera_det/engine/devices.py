"""Where and how a run computes, as Lightning's arguments: accelerator, strategy, precision."""

from __future__ import annotations

import logging
import os
import re
from typing import Any, Literal

import torch
from fvcore.common.config import CfgNode
from lightning.fabric.plugins.environments import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy

from hiera_det.engine.options import RunOptions, available_device, check_rendezvous

__all__ = ["device_arguments", "precision"]

logger = logging.getLogger(__name__)

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
PRECISIONS: dict[str, Precision] = {"32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def device_arguments(cfg: CfgNode, options: RunOptions) -> dict[str, Any]:
    """Give Lightning's ``accelerator``, ``devices``, ``num_nodes`` and ``strategy``.

    Under torchrun its environment says how many processes there are; ``MODEL.DEVICE`` whether on GPUs or CPUs.

    Raises:
        ValueError: flags contradict each other or the machine.
    """
    if not re.fullmatch(r"cpu|cuda(:\d+)?", cfg.MODEL.DEVICE):
        raise ValueError(f'MODEL.DEVICE is {cfg.MODEL.DEVICE!r}; expected "cuda", "cuda:<index>" or "cpu"')
    device = torch.device(cfg.MODEL.DEVICE)
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if options.num_gpus > available or (options.num_gpus and device.type == "cpu"):
        raise ValueError(
            f"--num-gpus {options.num_gpus}, but there are {available} GPUs here and MODEL.DEVICE is {cfg.MODEL.DEVICE}"
        )
    on_gpu = available_device(cfg.MODEL.DEVICE).type == "cuda"
    accelerator = "cuda" if on_gpu else "cpu"

    processes, machines = max(options.num_gpus, 1), options.num_machines
    if TorchElasticEnvironment.detect():
        processes = int(os.environ["LOCAL_WORLD_SIZE"])
        machines = int(os.environ["WORLD_SIZE"]) // processes
    elif machines > 1:
        _set_rendezvous(options)
    devices: Any = [device.index] if on_gpu and processes == 1 and device.index is not None else processes
    if processes * machines == 1:
        return {"accelerator": accelerator, "devices": devices, "num_nodes": 1, "strategy": "auto"}
    # Buffers never change in training, and ranks may evaluate different numbers of images.
    strategy = DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)
    return {"accelerator": accelerator, "devices": devices, "num_nodes": machines, "strategy": strategy}


def _set_rendezvous(options: RunOptions) -> None:
    url = check_rendezvous(options)
    os.environ |= {
        "MASTER_ADDR": str(url.hostname),
        "MASTER_PORT": str(url.port),
        "NODE_RANK": str(options.machine_rank),
    }


def precision(cfg: CfgNode, options: RunOptions, accelerator: str) -> Precision:
    """The precision asked for; by default fp16 where ``SOLVER.AMP.ENABLED`` on a GPU, and 32 on a CPU.

    A CPU gains nothing from fp16, and few gain from bf16: there AMP takes ``--precision bf16``, said outright.

    Raises:
        ValueError: the precision is unknown, or fp16 is asked for on a CPU.
    """
    name = options.precision
    if name is None:
        name = "fp16" if cfg.SOLVER.AMP.ENABLED and accelerator == "cuda" else "32"
        if cfg.SOLVER.AMP.ENABLED and accelerator == "cpu":
            logger.info("SOLVER.AMP.ENABLED is for GPUs: computing in fp32 on the CPU; --precision bf16 forces bf16")
    if name not in PRECISIONS:
        raise ValueError(f"--precision {name!r}; expected one of {', '.join(PRECISIONS)}")
    if name == "fp16" and accelerator == "cpu":
        raise ValueError("--precision fp16 needs a GPU; on a CPU use 32 or bf16")
    return PRECISIONS[name]
