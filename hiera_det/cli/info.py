"""Show what a file of weights is: task, model, classes, iteration, metrics, size, licence.

    hiera-det info output/quickstart/model_final.pth
    hiera-det info hf://owner/name

FILE may be whatever weights may be: a checkpoint, a run's folder, a name of the zoo, a URL, hf://owner/name. Metrics
are those of the run's metrics.json beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hiera_det.cli.parser import CommandParser
from hiera_det.utils.escape import printable
from hiera_det.weights.info import describe

__all__ = ["main", "parse"]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("source", metavar="FILE", help="the weights")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    entries = describe(parse(arguments).source)
    width = max(map(len, entries))
    print("\n".join(printable(f"{name:{width}}  {value}") for name, value in entries.items()))
