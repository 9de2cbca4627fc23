"""A probe's result as text, JSON and picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from hiera_det.features.analysis.probe import ProbeResult
from hiera_det.utils.escape import printable
from hiera_det.utils.files import atomic_write, write_json

__all__ = ["format_probe", "write_confusion", "write_probe"]

_MOST_VALUES = 30  # classes up to which a cell has room for its number
_MOST_NAMES = 100  # classes up to which a row has room for its name
_NAME_LENGTH = 30  # characters


def format_probe(result: ProbeResult) -> str:
    """A readable table: items and accuracy per class in percent, accuracy and chance level of all."""
    names = [printable(name) for name in result.classes]
    width = max(len(name) for name in (*names, "class"))
    rows = zip(names, result.train_counts, result.test_counts, result.class_accuracy, strict=True)
    lines = [f"{'class':{width}}  train   test  accuracy (%)"]
    lines += [f"{name:{width}}  {train:5}  {test:5}  {_percent(value):>12}" for name, train, test, value in rows]
    largest = result.classes[int(result.test_counts.argmax())]
    lines += [
        "",
        f"accuracy: {_percent(result.accuracy):>6} % of {result.test_counts.sum()} test items, after "
        f"{result.train_counts.sum()} training items of {len(result.classes)} classes",
        f"chance:   {_percent(result.chance):>6} % by predicting {largest!r} always",
    ]
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def write_probe(path: str | Path, result: ProbeResult, settings: Mapping[str, Any]) -> None:
    """Write ``{"accuracy", "chance", "classes", "train", "test", "settings", "per_class"}`` as JSON.

    Accuracies are fractions of 1, null for a class without test items; ``classes``, ``train`` and ``test`` are counts.

    Args:
        path: of the file.
        result: what to write.
        settings: what the result was made with, for the record.
    """
    rows = zip(result.classes, result.class_accuracy, result.train_counts, result.test_counts, strict=True)
    content = {
        "accuracy": result.accuracy,
        "chance": result.chance,
        "classes": len(result.classes),
        "train": int(result.train_counts.sum()),
        "test": int(result.test_counts.sum()),
        "settings": dict(settings),
        "per_class": {name: {"accuracy": acc, "train": int(a), "test": int(b)} for name, acc, a, b in rows},
    }
    write_json(path, content, indent=1)


def write_confusion(path: str | Path, result: ProbeResult) -> None:
    """Draw the confusion matrix: rows are true classes, cells the percentage of their row.

    Cells go without numbers where there are more than 30 classes, and rows without names where more than 100.

    Raises:
        ValueError: matplotlib does not know the file's ending.
    """
    count = len(result.classes)
    shares = 100 * result.confusion / np.maximum(result.test_counts, 1)[:, None]  # (K, K), rows add up to 100 or 0
    shown = map(printable, result.classes)
    names = [name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…" for name in shown]
    side = 3 + (0.45 if count <= _MOST_VALUES else 0.18) * min(count, _MOST_NAMES)  # inches
    with matplotlib.rc_context({"text.parse_math": False}):  # a name may hold $
        figure = Figure(figsize=(side + 1, side), layout="constrained")
        axes = figure.subplots()
        ConfusionMatrixDisplay(shares, display_labels=names).plot(
            ax=axes,
            cmap="Blues",
            colorbar=False,
            values_format=".0f",
            include_values=count <= _MOST_VALUES,
            xticks_rotation="vertical" if count > 4 or max(map(len, names)) > 8 else "horizontal",
            im_kw={"vmin": 0, "vmax": 100},
            text_kw={"fontsize": 8},
        )
        if count > _MOST_NAMES:
            axes.set(xticks=[], yticks=[])
        axes.tick_params(labelsize=8)
        axes.set_title(f"accuracy {_percent(result.accuracy)} % (chance {_percent(result.chance)} %)", fontsize=10)
        figure.colorbar(axes.images[0], ax=axes, shrink=0.6, aspect=30, label="% of the true class")
        with atomic_write(path) as temporary:
            figure.savefig(temporary, dpi=120)
