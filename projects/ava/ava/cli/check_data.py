"""Check a data folder in AVA's layout and say what is missing or wrong.

    hiera-det ava-check datasets/ava_mini --videos-begin 900

It ends with 1 where there is a problem.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hiera_det.cli.parser import CommandParser
from hiera_det.data.video import NOMINAL_FPS
from hiera_det.projects.ava.data.check import check_data
from hiera_det.projects.ava.data.frame_names import FRAME_NAMES
from hiera_det.projects.ava.data.frames import FIRST_SECOND


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("root", type=Path, help="folder with annotations/, and frames/ or videos/")
    add = parser.add_argument_group("times and names").add_argument
    add(
        "--frames-begin", type=float, default=FIRST_SECOND, metavar="S", help="second of each first frame (%(default)g)"
    )
    add(
        "--videos-begin",
        type=float,
        default=0.0,
        metavar="S",
        help="second that each video begins with: 900 for films cut to AVA's seconds and the mini-set (%(default)g)",
    )
    add(
        "--fps", type=float, default=NOMINAL_FPS, metavar="N", help="frames a second of the frame folders (%(default)g)"
    )
    add(
        "--frame-names",
        default=FRAME_NAMES,
        metavar="PATTERN",
        help="names of the frames' files, where there are no frame lists, such as img_{:05d}.jpg (%(default)s)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    if not args.root.is_dir():
        raise FileNotFoundError(f"no folder at {args.root}")
    findings = check_data(
        args.root,
        frames_begin=args.frames_begin,
        videos_begin=args.videos_begin,
        fps=args.fps,
        frame_names=args.frame_names,
    )
    findings.show()
