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
from hiera_det.utils.files import make_folder, remove_leftovers
from hiera_det.utils.logs import show_log


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    add = parser.add_argument_group("input and output").add_argument
    add("--store", metavar="DIR", required=True, help="store that `hiera-det extract` wrote")
    add("--labels", metavar="CSV", required=True, help='labels of the items: a file id,label; or "folders"')
    add("--test-labels", metavar="CSV", help="labels of the test items; default: a share of --labels, drawn at random")
    add("--test-share", type=float, default=0.2, metavar="S", help="share of --labels to test on, 0 to 1 (0.2)")
    add("--seed", type=int, default=0, metavar="N", help="seed of the draw (0)")
    add("--output", metavar="DIR", required=True, help="folder for probe.json and confusion.png")
    method = parser.add_argument_group("method").add_argument
    method("--vector", default="mean", metavar="NAME", help="vector to use: mean, max or logits (mean)")
    method("--method", choices=METHODS, default="linear", help="logistic regression, or neighbours by cosine (linear)")
    method("--k", type=int, default=20, metavar="N", help="neighbours of knn (20)")
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
    remove_leftovers(output)
    result = probe(ids, vectors, train, test, method=args.method, k=args.k)
    print(format_probe(result))
    left_out = len(ids) - len(train) - len(test)
    if left_out:
        print(f"{left_out} items of the store have no label and are left out")
    write_probe(output / "probe.json", result, vars(args))
    write_confusion(output / "confusion.png", result)
