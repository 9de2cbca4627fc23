"""A result as text, JSON and plot."""

from __future__ import annotations

import math
from pathlib import Path

from hiera_det.projects.ava.evaluation.evaluator import Result
from hiera_det.utils.files import atomic_write, write_json

__all__ = ["format_table", "write_metrics", "write_plot"]


def format_table(result: Result) -> str:
    """A readable table: AP per action and mAP in percent, keyframes, rows that were ignored and why."""
    width = max(len(name) for name in (*result.ap, "action"))
    lines = [f"{'action':{width}}  AP (%)"]
    lines += [f"{name:{width}}  {_percent(value):>6}" for name, value in result.ap.items()]
    counted = sum(not math.isnan(value) for value in result.ap.values())
    lines += [
        "",
        f"keyframes: {result.keyframes} with ground truth, {result.detected_keyframes} with detections",
        *(f"ignored:   {rows} rows of {reason}" for reason, rows in result.ignored.items()),
        f"mAP:       {_percent(result.mean_ap)} % over {counted} actions, protocol {result.protocol}",
    ]
    return "\n".join(lines)


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def write_metrics(path: str | Path, result: Result) -> None:
    """Write ``{"protocol": …, "mAP": …, "ap": {action name: AP}}``, fractions of 1; null without ground truth."""
    write_json(path, {"protocol": result.protocol, "mAP": result.mean_ap, "ap": result.ap}, indent=1)


def write_plot(path: str | Path, result: Result) -> None:
    """Draw AP per action as horizontal bars, the best on top; actions without ground truth are left out.

    Raises:
        ValueError: matplotlib does not know the file's ending.
    """
    from matplotlib.figure import Figure  # takes a second, and few ask for a plot

    bars = sorted((100 * value, name) for name, value in result.ap.items() if not math.isnan(value))
    figure = Figure(figsize=(8, 1.5 + 0.2 * len(bars)), layout="constrained")
    axes = figure.subplots()
    drawn = axes.barh([name for _, name in bars], [value for value, _ in bars], color="tab:blue", height=0.75)
    axes.bar_label(drawn, fmt="%.1f", padding=3, fontsize=7)
    axes.axvline(100 * result.mean_ap, color="tab:orange", linewidth=1, label="mAP", zorder=0)
    axes.set_title(f"mAP {_percent(result.mean_ap)} % ({result.protocol}, {len(bars)} actions)")
    axes.set_xlabel("AP at IoU 0.5 (%)")
    axes.set_xlim(0, 1.1 * bars[-1][0] + 1)  # room for the label of the longest
    axes.set_ylim(-0.6, len(bars) - 0.4)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120)
