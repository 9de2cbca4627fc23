"""Plot cases: curves over the condition with the most values, or bars if it has too few."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, Result, paired_ratio
from hiera_det.utils.files import atomic_write, make_folder

__all__ = ["check_plot", "write_plot"]

CURVE_FROM = 3  # values of a condition


def check_plot(path: Path) -> None:
    """Check that a plot can be written, before hours are spent on its data.

    Raises:
        ValueError: matplotlib is not installed or does not know the file's ending.
        OSError: the folder cannot be written to.
    """
    if find_spec("matplotlib") is None:
        raise ValueError(f"--plot {path}: drawing needs matplotlib; pip install matplotlib")
    from matplotlib.figure import Figure

    known = Figure().canvas.get_supported_filetypes()
    if path.suffix[1:] not in known:
        raise ValueError(f"--plot {path}: expected a name that ends with one of .{', .'.join(known)}")
    make_folder(path.parent, "the plot's folder")


def write_plot(path: Path, cases: Sequence[Case]) -> None:
    """Draw milliseconds per item, in a panel for each combination of the conditions that are not on the x axis.

    Raises:
        ValueError: no candidate ran.
    """
    from matplotlib.figure import Figure  # takes a second to import, and few ask for a plot

    cases = [case for case in cases if case.complete]
    if not cases:
        raise ValueError("no candidate ran: there is nothing to plot")
    axis = _curve_axis(cases)
    varying = [name for name in cases[0].axes if len(_values(cases, name)) > 1 and name != axis]
    panels: dict[str, list[Case]] = {}
    for case in cases:
        panels.setdefault(", ".join(f"{name} {case.axes[name]}" for name in varying), []).append(case)
    names = list(dict.fromkeys(result.candidate.name for case in cases for result in case.complete))
    colours = {name: f"C{i}" for i, name in enumerate(names)}

    columns = math.ceil(math.sqrt(len(panels)))
    rows = -(-len(panels) // columns)
    height = 4.0 if axis else 0.9 + 0.32 * len(names)
    figure = Figure(figsize=(5.5 * columns, 0.6 + height * rows), layout="constrained")
    subplots = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax, (title, panel) in zip(subplots, panels.items(), strict=False):
        if axis:
            _draw_curves(ax, panel, axis, colours)
        else:
            _draw_bars(ax, panel[0], colours)
        ax.set_title(title, fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in subplots[len(panels) :]:
        ax.remove()
    fixed = {name: value for name, value in cases[0].axes.items() if name != axis and name not in varying}
    figure.suptitle(textwrap.fill(Case(fixed, []).title, 70 * columns), fontsize=9)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _values(cases: Sequence[Case], name: str) -> list[Any]:
    return list(dict.fromkeys(case.axes[name] for case in cases))


def _curve_axis(cases: Sequence[Case]) -> str | None:
    """Name the numeric condition with the most values, if they are enough for a curve."""
    counts = {name: len(_values(cases, name)) for name, value in cases[0].axes.items() if isinstance(value, int)}
    axis = max(counts, key=counts.__getitem__, default=None)
    return axis if axis and counts[axis] >= CURVE_FROM else None


def _draw_curves(ax: Any, cases: Sequence[Case], axis: str, colours: dict[str, str]) -> None:
    """Draw a line for each candidate, solid for ours, on logarithmic scales; a size stands at its area."""
    power = 2 if axis == "size" else 1
    for name, colour in colours.items():
        points = [(case.axes[axis], r) for case in cases for r in case.complete if r.candidate.name == name]
        if points:
            style = "o-" if points[0][1].candidate.ours else "s--"
            x = [value**power for value, _ in points]
            ax.plot(x, [_ms(r) for _, r in points], style, color=colour, label=name, markersize=4, linewidth=1.5)
    ax.set_xscale("log")
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    if high < 4 * low:  # there would be a single tick, and noise would look large
        ax.set_ylim(low / 2, 2 * high)
    ax.minorticks_off()
    ax.yaxis.get_major_locator().set_params(subs=(1, 2, 5))
    ax.yaxis.set_major_formatter("{x:g}")
    ticks = _values(cases, axis)
    ax.set_xticks([tick**power for tick in ticks], [f"{tick}²" if power == 2 else str(tick) for tick in ticks])
    ax.set_xlabel("pixels of an image" if axis == "size" else axis)
    ax.set_ylabel("ms per item")
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, frameon=False)


def _draw_bars(ax: Any, case: Case, colours: dict[str, str]) -> None:
    """Draw a bar for each candidate; a baseline's label has its time over ours with the same function, if any."""
    results = case.complete
    values = [_ms(result) for result in results]
    bars = ax.barh(
        [result.candidate.name for result in results],
        values,
        color=[colours[result.candidate.name] for result in results],
        hatch=["" if result.candidate.ours else "///" for result in results],
        edgecolor="white",
        linewidth=0,
    )
    ratios = [_over_ours(case, result) for result in results]
    times = [f"{value:.0f}" if value >= 1000 else f"{value:.4g}" for value in values]
    labels = [time + ratio for time, ratio in zip(times, ratios, strict=True)]
    ax.bar_label(bars, labels, padding=3, fontsize=8)
    ax.set_xlim(0, 1.4 * max(values))  # leaves space for the longest bar's label
    ax.set_xlabel("ms per item" + (" (others: their time over ours)" if any(ratios) else ""))
    ax.tick_params(labelsize=8)
    ax.invert_yaxis()


def _over_ours(case: Case, result: Result) -> str:
    own = next((own for own in case.ours if own.candidate.function == result.candidate.function), None)
    return "" if own is None or result.candidate.ours else f"  ({paired_ratio(result, own):.2f} x)"


def _ms(result: Result) -> float:
    return 1e3 * result.median / result.items
