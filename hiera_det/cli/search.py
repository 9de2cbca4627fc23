"""Find the items of a store that are most similar to given ones, and show them.

    hiera-det search --store features/ --query cat/1.jpg dog/7.jpg --output matches.html
    hiera-det search --store features/ --query-store new/ --query a.jpg --k 5 --output matches.png

Prints a line per match (query, place, score, id, with tabs between them), and writes a page that holds its images
(.html), an image (.png), or both. The score is the cosine of two vectors' angle.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hiera_det.cli.parser import CommandParser
from hiera_det.features.analysis.contact_sheet import check_sheet, match_rows, write_sheet
from hiera_det.features.analysis.search import format_matches, search_store
from hiera_det.features.store.reader import FeatureStore
from hiera_det.utils.logs import show_log


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    inputs = parser.add_argument_group("input")
    inputs.add_argument("--store", metavar="DIR", required=True, help="store that `hiera-det extract` wrote")
    parser.add_list(inputs, "--query", metavar="ID", required=True, help="ids of items")
    inputs.add_argument(
        "--query-store", metavar="DIR", help="store of the queries; default: --store, and none matches itself"
    )
    search = parser.add_argument_group("search").add_argument
    search("--k", type=int, default=10, metavar="N", help="matches of each query (10)")
    search("--vector", default="mean", metavar="NAME", help="vector to compare: mean, max or logits (mean)")
    output = parser.add_argument_group("output")
    parser.add_list(output, "--output", metavar="FILE", required=True, help="files to write: matches.html, matches.png")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    show_log()
    for path in args.output:
        check_sheet(path)
    store = FeatureStore(args.store)
    query_store = FeatureStore(args.query_store) if args.query_store else store
    found = search_store(store, args.query, query_store=query_store, vector=args.vector, k=args.k)
    print(format_matches(args.query, found))
    rows = match_rows(query_store, args.query, store, found)
    for path in args.output:
        write_sheet(path, rows, f"Most similar items of {args.store} by {args.vector}")
