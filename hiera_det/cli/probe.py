"""Tell classes apart by the vectors of a store: a linear probe, or nearest neighbours.

    hiera-det probe --store features/ --labels labels.csv --output probe/
    hiera-det probe --store features/ --labels folders --method knn --k 20 --output probe/
    hiera-det probe --store features/ --labels train.csv --test-labels val.csv --output probe/

Prints a table, and writes probe.json and confusion.png. Labels: a CSV file with the header id,label, or "folders": the
first folder of each id.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hiera_det.cli.parser import CommandParser
from hiera_det.features.analysis.labels import labels_of
from hiera_det.features.analysis.probe import METHODS, probe, split_labels
from hiera_det.features.analysis.probe_report import format_probe, write_confusion, write_probe
from hiera_det.features.store.reader import FeatureStore
from hiera_det.utils.files import make_folder
from hiera_det.utils.logs import show_log


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    add = parser.add_argument
    add("--store", metavar="DIR", required=True, help="what `hiera-det extract` wrote")
    add("--labels", metavar="CSV", required=True, help='id,label; or "folders"')
    add("--test-labels", metavar="CSV", help="of the test items; default: a share of --labels, drawn at random")
    add("--test-share", type=float, default=0.2, metavar="S", help="of the items that --labels names (0.2)")
    add("--seed", type=int, default=0, help="of the draw (0)")
    add("--vector", default="mean", metavar="NAME", help="mean, max or logits (mean)")
    add("--method", choices=METHODS, default="linear", help="logistic regression, or neighbours by cosine (linear)")
    add("--k", type=int, default=20, help="neighbours of knn (20)")
    add("--output", metavar="DIR", required=True)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    show_log()
    store = FeatureStore(args.store)
    ids, vectors = store.vectors(args.vector)
    labels = labels_of(store, args.labels)
    if args.test_labels:
        train, test = labels, labels_of(store, args.test_labels)
    else:
        train, test = split_labels(labels, args.test_share, args.seed)
    output = make_folder(args.output, "output folder")
    result = probe(ids, vectors, train, test, method=args.method, k=args.k)
    print(format_probe(result))
    left_out = len(ids) - len(train) - len(test)
    if left_out:
        print(f"{left_out} items of the store have no label and are left out")
    write_probe(output / "probe.json", result, vars(args))
    write_confusion(output / "confusion.png", result)
