"""The launch flags of ``tools/train_net.py``, for any host."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Launch"]


@dataclass(frozen=True)
class Launch:
    """How to run, apart from the config: the launch flags of ``tools/train_net.py``.

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
