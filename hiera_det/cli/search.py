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
    add = parser.add_argument
    add("--store", metavar="DIR", required=True, help="what `hiera-det extract` wrote")
    add("--query", metavar="ID", nargs="+", required=True, help="ids of items")
    add("--query-store", metavar="DIR", help="the store of the queries; default: --store, and none matches itself")
    add("--k", type=int, default=10, help="matches of each query (10)")
    add("--vector", default="mean", metavar="NAME", help="mean, max or logits (mean)")
    add("--output", metavar="FILE", nargs="+", required=True, help="matches.html, matches.png")
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
