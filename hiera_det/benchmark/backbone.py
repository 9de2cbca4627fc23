"""Time backbones in turn, A B A B …, each in a process of its own, so that memory is each one's alone."""

from __future__ import annotations

import ctypes
import multiprocessing as mp
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from hiera_det.benchmark.contenders import CONTENDERS, build

__all__ = ["Result", "compare", "format_table"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Result:
    """One contender at one size.

    Attributes:
        seconds: of each counted forward pass, in the order of the rounds.
        peak_mib: the most memory that a forward pass held beyond the model itself, in MiB: resident (CPU, Linux
            only) or allocated (CUDA).
        difference: largest difference of any stage map from the first contender of the same function, relative to the
            largest value of the map; None for that first one.
        error: why it did not run; the other fields are then empty.
    """

    name: str
    size: int
    seconds: list[float] = field(default_factory=list)
    peak_mib: float = 0.0
    difference: float | None = None
    error: str = ""

    @property
    def median(self) -> float:
        """Median seconds of a forward pass."""
        return statistics.median(self.seconds)


def _resident_mib(field: str) -> float:
    """A field of /proc/self/status: "VmRSS" now, "VmHWM" the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith(field))


class _Memory:
    """Memory beyond what was held at construction."""

    def __init__(self, device: str):
        self.cuda = device == "cuda"
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated() / 2**20
        else:
            ctypes.CDLL(None).malloc_trim(0)  # what building the model freed is no room for the forward pass
            Path("/proc/self/clear_refs").write_text("5")  # sets the peak to the present
            self.before = _resident_mib("VmRSS")

    def peak(self) -> float:
        """Largest growth since construction, in MiB."""
        return (torch.cuda.max_memory_allocated() / 2**20 if self.cuda else _resident_mib("VmHWM")) - self.before


def _worker(pipe: Connection, name: str, variant: str, size: int, batch: int, dtype: str, device: str) -> None:
    """Build, warm up, then answer each "run" with the seconds of one forward pass, and "stop" with the peak memory."""
    torch.set_grad_enabled(False)
    try:
        model, run = build(name, variant, size)
        model.to(device, DTYPES[dtype])
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(batch, 3, size, size, generator=generator).to(device, DTYPES[dtype])
        memory = _Memory(device)
        maps = run(x)
        # Enough of the maps to compare them by, not all of their memory.
        pipe.send([m[:, :, ::4, ::4].float().cpu().numpy() for m in maps])
        del maps
    except Exception as error:  # whatever a peer raises is its result
        pipe.send(f"{type(error).__name__}: {error}")
        return
    while pipe.recv() == "run":
        start = time.perf_counter()
        out = run(x)
        if device == "cuda":
            torch.cuda.synchronize()
        pipe.send(time.perf_counter() - start)
        del out
    pipe.send(memory.peak())


def compare(
    names: Sequence[str],
    *,
    variant: str,
    size: int,
    batch: int = 1,
    dtype: str = "fp32",
    device: str = "cpu",
    rounds: int = 5,
) -> list[Result]:
    """Run contenders on square random images, in turn for `rounds` rounds after one warm-up each.

    Args:
        names: keys of `CONTENDERS`.
        variant: a Hiera image variant.
        size: side of the images, in pixels.
        batch: images in a batch.
        dtype: "fp32", "bf16" or "fp16" weights and images.
        device: "cpu" or "cuda".
        rounds: counted forward passes of each contender.

    Returns:
        A result for each name, in order.

    Raises:
        ValueError: an unknown name.
    """
    unknown = [name for name in names if name not in CONTENDERS]
    if unknown:
        raise ValueError(f"no contender is called {', '.join(unknown)}; there are {', '.join(CONTENDERS)}")
    context = mp.get_context("spawn")
    results: list[Result] = []
    pipes: dict[str, Connection] = {}
    maps: dict[str, Any] = {}
    for name in names:
        ours, theirs = context.Pipe()
        context.Process(target=_worker, args=(theirs, name, variant, size, batch, dtype, device), daemon=True).start()
        theirs.close()  # so that the end of the process is seen
        try:
            answer: Any = ours.recv()
        except EOFError:
            answer = "its process ended; was there memory enough?"
        result = Result(name, size)
        results.append(result)
        if isinstance(answer, str):
            result.error = answer
            continue
        pipes[name] = ours
        reference = maps.setdefault(CONTENDERS[name].function, answer)
        if reference is not answer:
            pairs = zip(answer, reference, strict=True)
            result.difference = max(float(abs(a - b).max() / abs(b).max()) for a, b in pairs)
    running = [r for r in results if r.name in pipes]
    for _ in range(rounds):
        for result in running:
            pipes[result.name].send("run")
            result.seconds.append(pipes[result.name].recv())
    for result in running:
        pipes[result.name].send("stop")
        result.peak_mib = pipes[result.name].recv()
    return results


def format_table(results: Sequence[Result]) -> str:
    """A table: medians, spread, memory, and each of ours as a ratio of each peer, by pairs of the same round."""
    ours = [r for r in results if CONTENDERS[r.name].package == "hiera_det" and not r.error]
    header = ["size", "contender", "package", "function", "median s", "min-max s", "peak MiB", "differs by"]
    rows = [[*header, *(f"{r.name} / it" for r in ours)]]
    for r in results:
        contender = CONTENDERS[r.name]
        row = [str(r.size), r.name, contender.package, contender.function]
        if r.error:
            rows.append([*row, f"did not run: {r.error.splitlines()[0]}"])
            continue
        row += [f"{r.median:.3f}", f"{min(r.seconds):.3f}-{max(r.seconds):.3f}", f"{r.peak_mib:.0f}"]
        row.append("" if r.difference is None else f"{r.difference:.0e}")
        for own in ours:
            ratios = [a / b for a, b in zip(own.seconds, r.seconds, strict=True)]
            row.append("" if own is r else f"{statistics.median(ratios):.2f}")
        rows.append(row)
    widths = [max(len(row[i]) for row in rows if i < len(row) and len(row) > 5) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=False)).rstrip() for row in rows)


def as_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The results as plain values."""
    return [{**asdict(r), "median": r.median if r.seconds else None} for r in results]
