"""Check a data folder in AVA's layout and say what is missing or wrong.

Usage: python projects/ava/check_data.py datasets/ava_mini --videos-begin 900
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hiera_det.projects.ava.data.check import check_data
from hiera_det.projects.ava.data.frames import FIRST_SECOND

from hiera_det.data.video import NOMINAL_FPS


def main() -> None:
    """Parse the arguments, print the findings, end with 1 where there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder with annotations/, and frames/ or videos/")
    parser.add_argument(
        "--frames-begin", type=float, default=FIRST_SECOND, help="second of each first frame (default %(default)g)"
    )
    parser.add_argument(
        "--videos-begin",
        type=float,
        default=0.0,
        help="second that each video begins with: 900 for films cut to AVA's seconds and the mini-set (default 0)",
    )
    parser.add_argument("--fps", type=float, default=NOMINAL_FPS, help="of the frame folders (default %(default)g)")
    args = parser.parse_args()
    if not args.root.is_dir():
        parser.error(f"no folder at {args.root}")
    report = check_data(args.root, frames_begin=args.frames_begin, videos_begin=args.videos_begin, fps=args.fps)
    for kind, text in report.findings:
        print(f"{kind:8} {text}")
    print(f"{len(report.problems)} problems")
    raise SystemExit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
