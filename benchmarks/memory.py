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
    """Measures the memory beyond that at construction, in MiB: allocated (CUDA) or resident (CPU, only on Linux)."""

    def __init__(self, device: str) -> None:
        self.cuda = device == "cuda"
        gc.collect()  # memory that building the model freed must not hide that of the forward pass
        if self.cuda:
            self.before = torch.cuda.memory_allocated() / MIB
        elif _PEAK_RESET.exists():
            ctypes.CDLL(None).malloc_trim(0)
            self.before = _status_mib("VmRSS")
        self.restart_peak()

    def restart_peak(self) -> None:
        """Set the peak to the present memory."""
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        elif _PEAK_RESET.exists():
            _PEAK_RESET.write_text("5")  # proc(5): resets VmHWM

    def peak(self) -> float | None:
        """Return the peak since the last restart, or None where the system does not tell."""
        if self.cuda:
            return torch.cuda.max_memory_allocated() / MIB - self.before
        return _status_mib("VmHWM") - self.before if _PEAK_RESET.exists() else None


def _status_mib(field: str) -> float:
    """Read a field of /proc/self/status: "VmRSS" (now) or "VmHWM" (the peak)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith(field))
