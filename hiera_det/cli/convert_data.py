"""Write a dataset in another format, with copies of its images.

    hiera-det convert-data my_data my_data_yolo --to yolo
    hiera-det convert-data instances.json my_data_voc --to voc

IN is what `train --data` takes: a folder or file of COCO, YOLO, Pascal VOC, LabelMe, a CSV of boxes, or images/ and
masks/. OUT is a new folder. What a format has no place for is left out, with a warning: crowd regions of YOLO, masks of
Pascal VOC. YOLO has one outline for each object: parts are joined, holes filled.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hiera_det.cli.parser import CommandParser
from hiera_det.datasets.recognise import read_dataset
from hiera_det.datasets.writers import WRITERS, write_dataset
from hiera_det.utils.escape import printable
from hiera_det.utils.logs import show_log

__all__ = ["main", "parse"]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("source", metavar="IN", help="the dataset")
    parser.add_argument("output", metavar="OUT", help="the folder to write")
    parser.add_argument("--to", required=True, choices=list(WRITERS), help="the format to write")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    show_log()
    dataset = read_dataset(args.source)
    print(printable(str(dataset), keep="\n"))
    with TemporaryDirectory() as folder:
        write_dataset(dataset.files(folder), Path(args.output), args.to)
    print(f"wrote {args.output}")
