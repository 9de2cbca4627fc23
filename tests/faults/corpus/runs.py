"""Folders of runs: last_checkpoint, metrics.json and what else `info` and `--resume` read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.faults.case import Case, Write, put
from tests.faults.corpus.bytes_of import flipped, no_files, strangers, truncated
from tests.faults.corpus.ports import PORT
from tests.faults.material import Material

__all__ = ["cases"]


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    resume = ("train", "--backend", "torchvision", "--resume", "--config", "run/config.yaml", "OUTPUT_DIR", "run")
    resume += ("SOLVER.MAX_ITER", "3", "SOLVER.CHECKPOINT_PERIOD", "1", *good.shapes_words("train", "val"))
    info = ("info", "run")
    run = good.detection_run
    for reader, words in (("info", info), ("resume", resume)):
        yield Case(f"good_{reader}", words, _with(run, lambda folder: None), good=True)
        for name, content in (*((f"to_{name}", text) for name, text in _POINTERS.items()), *strangers()):
            write = _with(run, put("run/last_checkpoint", content), "last_checkpoint")
            yield Case(f"{reader}_pointer_{name}", words, write, check=_kept)
        for name, write in no_files("run/last_checkpoint"):
            yield Case(f"{reader}_pointer_{name}", words, _with(run, write, "last_checkpoint"))
        lines = (run / "metrics.json").read_bytes()
        hostile = {
            **_metrics(lines.decode()),
            **dict(strangers()),
            **dict(truncated(lines, 6)),
            **dict(flipped(lines, 6)),
        }
        for name, content in hostile.items():
            write = _with(run, put("run/metrics.json", content), "metrics.json")
            yield Case(f"{reader}_metrics_{name}", words, write)
        for name, write in no_files("run/metrics.json"):
            yield Case(f"{reader}_metrics_{name}", words, _with(run, write, "metrics.json"))
    for name in ("log.txt", "run.lock", "config.yaml"):
        for kind, write in no_files(f"run/{name}"):
            yield Case(f"resume_{name}_{kind}", resume, _with(run, write, name))
    final = (run / "model_final.pth").read_bytes()
    for kind, content in (*truncated(final, 6), *strangers()):
        write = _with(run, put("run/model_final.pth", content), "model_final.pth")
        yield Case(f"resume_final_{kind}", resume, write, refused=True, check=_kept)
    for path in sorted(good.made("resumed", lambda folder: _write(run / "model_final.pth", folder)).iterdir()):
        write = _with(run, put("run/model_final.pth", path.read_bytes()), "model_final.pth")
        yield Case(f"resume_state_{path.stem}", resume, write)


def _with(run: Path, write: Write, without: str = "") -> Write:
    """A copy of a run in which one file is another."""

    def both(folder: Path) -> None:
        shutil.copytree(run, folder / "run")
        if without:
            (folder / "run" / without).unlink(missing_ok=True)
        write(folder)

    return both


def _kept(folder: Path) -> list[str]:
    """What a refused resume may not have changed."""
    config = folder / "run" / "config.yaml"
    return [] if config.is_file() and config.stat().st_size else ["config.yaml is gone"]


_POINTERS = {
    "above": "../x",
    "absolute": "/etc/passwd",
    "device": "/dev/zero",
    "url": f"http://127.0.0.1:{PORT}/x.pth",
    "hub": "hf://a/b",
    "dots": "..",
    "dot": ".",
    "absent": "model_0000099.pth",
    "other": "metrics.json",
    "itself": "last_checkpoint",
    "two_lines": "model_final.pth\nmodel_0000000.pth\n",
    "nul": "model_final.pth\0",
    "escape": "\x1b[2J",
    "long": "x" * 1_000_000,
    "surrogate": "\udcff.pth",
    "spaces": "   ",
}


def _metrics(text: str) -> dict[str, str]:
    first, *others = text.splitlines()
    record = json.loads(first)
    return {
        "deep": "[" * 100_000 + "\n" + text,
        "long_number": text.replace("0.0", "9" * 5000, 1),
        "iteration_text": json.dumps({**record, "iteration": "x"}) + "\n" + text,
        "iteration_none": json.dumps({**record, "iteration": None}) + "\n",
        "iteration_long": json.dumps({**record, "iteration": 10**400}) + "\n",
        "iteration_absent": "{}\n" + text,
        "list": "[1]\n" + text,
        "null": "null\n" + text,
        "twice": text + text,
        "backward": "\n".join([*others[::-1], first]) + "\n",
        "nan": text.replace("0.0", "NaN", 1),
        "escape": json.dumps({**record, "\x1b[2J": 1}) + "\n",
        "metric_text": json.dumps({**record, "iteration": 1, "bbox/AP": "\x1b[2J"}) + "\n",
        "long_line": json.dumps({**record, "x": "y" * 5_000_000}) + "\n",
    }


def _write(final: Path, folder: Path) -> None:
    """Write training checkpoints whose parts are of other kinds."""
    import torch

    checkpoint = torch.load(final, weights_only=True)
    folder.mkdir()
    strange = {
        "none": None,
        "list": [],
        "text": "x",
        "number": 10**400,
        "dict": {},
        "negative": -1,
        "nan": float("nan"),
    }
    for key in (
        "iteration",
        "seed",
        "loops",
        "optimizer_states",
        "lr_schedulers",
        "config",
        "class_names",
        "callbacks",
    ):
        for name, value in strange.items():
            torch.save({**checkpoint, key: value}, folder / f"{key}_{name}.pth")
        torch.save({name: value for name, value in checkpoint.items() if name != key}, folder / f"no_{key}.pth")
    for key in ("epoch", "global_step", "pytorch-lightning_version", "state_dict", "hparams"):
        torch.save({**checkpoint, key: "x"}, folder / f"other_{key}.pth")
