"""Compute the AVA mAP of a results file.

    hiera-det ava-evaluate --detections results.csv --ground-truth ava_val_v2.2.csv \
        --label-map ava_action_list_v2.2_for_activitynet_2019.pbtxt --exclusions ava_val_excluded_timestamps_v2.2.csv

The mAP that papers give is protocol slowfast's. official2018, official2019 and official2020 are the evaluators of
ActivityNet in those years; official2020 uses no exclusions.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hiera_det.cli.parser import CommandParser
from hiera_det.projects.ava.evaluation import DEFAULT_PROTOCOL, PROTOCOLS, evaluate
from hiera_det.projects.ava.evaluation.report import format_table, write_metrics, write_plot
from hiera_det.projects.ava.formats import read_detections, read_exclusions, read_ground_truth, read_label_map
from hiera_det.utils.logs import show_log


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    add = parser.add_argument_group("input").add_argument
    add("--detections", metavar="CSV", required=True, help="video,second,x1,y1,x2,y2,action,score")
    add("--ground-truth", metavar="CSV", required=True, help="video,second,x1,y1,x2,y2,action,person")
    add("--label-map", metavar="PBTXT", required=True, help="the actions to evaluate (AVA: 60 of 80)")
    add("--exclusions", metavar="CSV", help="keyframes to leave out: video,second")
    add = parser.add_argument_group("metric and output").add_argument
    add("--protocol", choices=PROTOCOLS, default=DEFAULT_PROTOCOL, help="protocol, see above (%(default)s)")
    add("--json", metavar="OUT", help="file to write: protocol, mAP and AP by action, 0 to 1")
    add("--plot", metavar="OUT.png", help="file to draw: AP by action")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    show_log()
    result = evaluate(
        read_ground_truth(args.ground_truth),
        read_detections(args.detections),
        read_label_map(args.label_map),
        args.protocol,
        read_exclusions(args.exclusions) if args.exclusions else frozenset(),
    )
    print(format_table(result))
    if args.json:
        write_metrics(args.json, result)
    if args.plot:
        write_plot(args.plot, result)
