"""Write the Hiera of a checkpoint in the format of another package.

    hiera-det convert hiera_base_224.mae_in1k_ft_in1k hiera_base --to transformers
    hiera-det convert output/model_final.pth backbone.safetensors --to timm

IN is whatever MODEL.WEIGHTS may be: a name of the zoo, a URL, hf://owner/name, a file in any of the formats. OUT is a
.pth for original, a .safetensors or .pth for timm, a .pkl or .pth for detectron2, a folder for transformers; it must
be new.
No format says in which windows a model attends: other packages' models attend as the published ones do. Where a
config.json beside IN says that the model computes something else, it is refused.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hiera_det.cli.parser import CommandParser
from hiera_det.utils.logs import show_log
from hiera_det.weights.convert import FORMATS, convert_checkpoint


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("source", metavar="IN", help="the weights")
    parser.add_argument("output", metavar="OUT", help="the file or folder to write")
    parser.add_argument("--to", required=True, choices=list(FORMATS), help="the format to write")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    show_log()
    convert_checkpoint(args.source, args.output, args.to)
