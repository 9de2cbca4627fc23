"""Tables for the log: what a dataset holds, and what an evaluation gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tabulate import tabulate

from hiera_det.coco.evaluator import Metrics
from hiera_det.coco.records import Annotations

__all__ = ["dataset_table", "metrics_table"]

_SIDE_BY_SIDE = 3  # classes in a row
_MAIN = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def dataset_table(annotations: Annotations, name: str) -> str:
    """Images, those without instances, and instances and crowd regions by class, as detectron2 shows them."""
    counts = {crowd: Counter[int]() for crowd in (False, True)}
    for record in annotations.records:
        for instance in record.instances:
            counts[instance.crowd][instance.label] += 1
    empty = sum(all(instance.crowd for instance in record.instances) for record in annotations.records)
    cells = [
        (class_name, counts[False][label], counts[True][label])
        for label, class_name in enumerate(annotations.unique_names(), 1)
    ]
    columns = max(1, min(_SIDE_BY_SIDE, len(cells) // 5))
    height = -(-len(cells) // columns)
    rows = [
        [value for column in range(columns) for value in _cell(cells, row + column * height)] for row in range(height)
    ]
    instances, crowds = counts[False].total(), counts[True].total()
    title = f"{name}: {len(annotations.records)} images, {empty} of them without instances; "
    title += f"{instances} instances and {crowds} crowd regions of {len(cells)} classes"
    header = ["class", "instances", "crowds"] * columns
    return f"{title}\n{tabulate(rows, header, tablefmt='simple', disable_numparse=True, colalign=_ALIGN * columns)}"


_ALIGN = ("left", "right", "right")


def _cell(cells: list[tuple[str, int, int]], place: int) -> tuple:
    return cells[place] if place < len(cells) else ("", "", "")


def metrics_table(metrics: Metrics) -> str:
    """A readable table: a line for each IoU type, then AP by class."""
    names = [name for name in next(iter(metrics.values()), {}) if "-" not in name]
    columns = dict.fromkeys([*_MAIN, *names])
    main = [[kind, *(_shown(values, name) for name in columns)] for kind, values in metrics.items()]
    by_class = [name for name in next(iter(metrics.values()), {}) if name not in columns]
    rows = [[_class_row(name), *(_shown(values, name) for values in metrics.values())] for name in by_class]
    return "\n\n".join(
        tabulate(
            table, header, tablefmt="plain", disable_numparse=True, colalign=("left", *["right"] * (len(header) - 1))
        )
        for table, header in ((main, ["", *columns]), (rows, ["AP by category", *metrics]))
    )


def _class_row(name: str) -> str:
    kind, _, of = name.partition("-")
    return of if kind == "AP" else f"{of} ({kind})"


def _shown(values: Mapping[str, float], name: str) -> str:
    return f"{values[name]:.2f}" if name in values else ""
