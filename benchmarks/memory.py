"""The memory of this process."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch

__all__ = ["Memory"]

MIB = 2**20
_PEAK_RESET = Path("/proc/self/clear_refs")


class Memory:
    """Memory beyond what was held at construction, in MiB: allocated (CUDA) or resident (CPU, Linux alone)."""

    def __init__(self, device: str) -> None:
        self.cuda = device == "cuda"
        gc.collect()  # what building the model left is no room for the forward pass
        if self.cuda:
            self.before = torch.cuda.memory_allocated() / MIB
        elif _PEAK_RESET.exists():
            ctypes.CDLL(None).malloc_trim(0)
            self.before = _status_mib("VmRSS")
        self.restart_peak()

    def restart_peak(self) -> None:
        """Forget how much was held until now."""
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        elif _PEAK_RESET.exists():
            _PEAK_RESET.write_text("5")  # sets the peak to the present

    def peak(self) -> float | None:
        """Largest growth over construction since the last restart; None where the system does not tell."""
        if self.cuda:
            return torch.cuda.max_memory_allocated() / MIB - self.before
        return _status_mib("VmHWM") - self.before if _PEAK_RESET.exists() else None


def _status_mib(field: str) -> float:
    """A field of /proc/self/status: "VmRSS" now, "VmHWM" the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith(field))
