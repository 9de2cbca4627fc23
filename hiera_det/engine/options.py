"""How a run computes, apart from its config: devices, machines, precision; the flags of the commands."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from urllib.parse import ParseResult, urlparse

import torch
from fvcore.common.config import CfgNode

__all__ = ["RunOptions", "available_device", "check_rendezvous", "choose_device", "items_per_device"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOptions:
    """How a run computes, apart from its config.

    Attributes:
        num_gpus: GPUs of each machine; 0: the one that MODEL.DEVICE names, or the CPU.
        num_machines: machines.
        machine_rank: number of this machine, from 0.
        dist_url: ``tcp://host:port`` of machine 0, or "auto" where there is one machine.
        precision: "32", "bf16" or "fp16"; None: what SOLVER.AMP.ENABLED says.
        accumulate: micro-batches that an iteration's images are split into, on each device.
    """

    num_gpus: int = 0
    num_machines: int = 1
    machine_rank: int = 0
    dist_url: str = "auto"
    precision: str | None = None
    accumulate: int = 1


def available_device(name: str) -> torch.device:
    """The device of a name; where there is no GPU, the CPU in place of "cuda", which is logged."""
    if torch.device(name).type == "cuda" and not torch.cuda.is_available():
        logger.warning("the device is to be %s, but no GPU is available: running on the CPU", name)
        return torch.device("cpu")
    return torch.device(name)


def choose_device(name: str) -> torch.device:
    """The device that a caller asks for; "auto": the GPU where there is one, else the CPU.

    Raises:
        ValueError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'device {name!r}: expected "auto", "cpu", "cuda" or "cuda:<index>"') from error
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and (device.index or 0) >= there):
        raise ValueError(f'device {name!r}, but there are {there} GPUs here; expected "auto", "cpu" or one of them')
    return device


def check_rendezvous(options: RunOptions) -> ParseResult:
    """The address at which several machines meet.

    Raises:
        ValueError: there is none, or this machine's number is out of range.
    """
    url = urlparse(options.dist_url)
    if url.scheme != "tcp" or not url.hostname or not url.port:
        raise ValueError(
            f"--num-machines {options.num_machines} needs --dist-url tcp://<host of machine 0>:<port>, the same on all"
            f" machines; got {options.dist_url!r}"
        )
    if not 0 <= options.machine_rank < options.num_machines:
        raise ValueError(f"--machine-rank {options.machine_rank}: expected 0 to {options.num_machines - 1}")
    return url


def items_per_device(cfg: CfgNode, world_size: int, accumulate: int) -> int:
    """Split ``SOLVER.IMS_PER_BATCH`` over the devices: an iteration's items on each, all micro-batches together.

    Raises:
        ValueError: they cannot be split evenly.
    """
    items, parts = cfg.SOLVER.IMS_PER_BATCH, world_size * accumulate
    if accumulate < 1 or items % parts:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH is {items}: it cannot be split into equal parts over {world_size} devices x"
            f" --accumulate {accumulate}"
        )
    return items // world_size
