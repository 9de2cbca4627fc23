"""What a file of weights is, in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hiera_det.utils.json_text import parse_json
from hiera_det.weights.formats import CLASSIFIER
from hiera_det.weights.hiera import hiera_in
from hiera_det.weights.read import read_checkpoint
from hiera_det.weights.sam2 import trunk_arguments
from hiera_det.weights.source import local_file
from hiera_det.weights.trained import TrainedModel, find_trained
from hiera_det.weights.variant import variant_of

__all__ = ["describe"]

_SHOWN = 20  # classes
_METRICS = ("bbox/AP", "bbox/AP50", "bbox/AP75", "segm/AP", "segm/AP50", "segm/AP75", "mAP")


def describe(source: str) -> dict[str, str]:
    """Describe a file of weights.

    Args:
        source: see :func:`~hiera_det.weights.source.local_file`.

    Returns:
        What there is to say, by what it is of, in the order in which people would read it.

    Raises:
        FileNotFoundError: the file cannot be had.
        ValueError: it cannot be read, or holds no Hiera.
    """
    path = local_file(source)
    checkpoint = read_checkpoint(path)
    trained = find_trained(checkpoint, path, source)
    weights = hiera_in(checkpoint, path, source)
    if trained is not None:
        entries = _of_trained(trained, path)
    else:
        backbone = "pretraining" if weights.decoder else "none: a backbone"
        entries = {"task": "classification" if set(CLASSIFIER) <= weights.classifier.keys() else backbone}
        if "head.projection.bias" in weights.classifier:
            entries["classes"] = str(len(weights.classifier["head.projection.bias"]))
    entries.setdefault("model", _variant(weights.encoder))
    state = trained.state if trained else {**weights.encoder, **weights.classifier, **weights.decoder}
    return {
        "file": str(path),
        "task": entries.pop("task"),
        "model": entries.pop("model"),
        **entries,
        "format": weights.file_format if trained is None or trained.description.version is None else "hiera_det",
        "parameters": f"{_count(state) / 1e6:.1f}M",
        "size": f"{path.stat().st_size / 2**20:.1f} MiB",
        "licence": "none noted: trained from scratch" if weights.licence == "none" else weights.licence,
    }


def _of_trained(trained: TrainedModel, path: Path) -> dict[str, str]:
    it = trained.description
    entries = {"task": trained.task}
    if it.config is not None:
        entries["model"] = _model(it.config)
    names = it.class_names
    if trained.task == "pretraining":
        pass  # there are no classes
    elif names is None:
        entries["classes"] = "not named"
    else:
        more = f", … and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        entries["classes"] = f"{len(names)}: {', '.join(names[:_SHOWN])}{more}"
    if it.iteration is not None:
        entries["iteration"] = f"{it.iteration} (counted from 0)"
        if found := _metrics_of(path.with_name("metrics.json"), it.iteration):
            entries["metrics"] = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
    entries["written by"] = f"hiera_det {it.version}" if it.version else "hiera_det 0.1.0, or another program"
    return entries


def _model(config: Mapping[str, Any]) -> str:
    node: Any = config.get("MODEL")
    try:
        text = f"{node['HIERA']['NAME']}, layout {node['HIERA']['LAYOUT']}"
        if "ROI_HEADS" in node:
            masks = " with masks" if node["MASK_ON"] else ""
            text += f", {node['META_ARCHITECTURE']} {node['ROI_HEADS']['NAME']}{masks}"
    except (KeyError, TypeError):
        return "its config does not say"
    return text


def _variant(encoder: Mapping[str, Tensor]) -> str:
    try:
        return variant_of(encoder, "the file") + (" with SAM 2's windows" if trunk_arguments(encoder) else "")
    except ValueError:
        return "a Hiera of no published variant"


def _count(state: Mapping[str, Tensor]) -> int:
    return sum(value.numel() for value in state.values())


def _metrics_of(path: Path, iteration: int) -> dict[str, float]:
    """The metrics of the evaluation after an iteration, by the file of the run; empty where there are none."""
    if not path.is_file():
        return {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = parse_json(line)
        except ValueError:  # a last line that a kill has cut
            continue
        if isinstance(record, dict) and record.get("iteration") == iteration:
            found = {name: record.get(name) for name in _METRICS}
            return {
                name: value for name, value in found.items() if isinstance(value, int | float) and abs(value) <= 100
            }
    return {}
