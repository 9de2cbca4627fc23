"""The command line of every tool that generates a dataset: where to, how much of it, from which seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hiera_det.cli.parser import CommandParser
from hiera_det.utils.logs import show_log

__all__ = ["generate"]


def generate(
    write: Callable[..., None],
    arguments: Sequence[str] | None,
    *,
    description: str | None,
    items: str,
    num_train: int,
    num_val: int,
    side: str = "side in pixels",
) -> None:
    """Read the command line and write the dataset.

    Args:
        write: takes the folder, and ``num_train``, ``num_val``, ``image_size`` and ``seed``.
        arguments: of the command line; None: those of the process.
        description: of the tool.
        items: what the dataset consists of.
        num_train: training items, where the command line does not say.
        num_val: validation items, where the command line does not say.
        side: what the option ``--image-size`` is.
    """
    parser = CommandParser(description)
    add = parser.add_argument
    add("--output", metavar="DIR", required=True, help="folder to write; must be new or empty")
    add("--num-train", type=int, default=num_train, metavar="N", help=f"training {items} (%(default)s)")
    add("--num-val", type=int, default=num_val, metavar="N", help=f"validation {items} (%(default)s)")
    add("--image-size", type=int, default=128, metavar="N", help=f"{side} (%(default)s)")
    add("--seed", type=int, default=0, metavar="N", help=f"seed; the same gives the same {items} (%(default)s)")
    args = parser.parse_args(arguments)
    show_log()
    write(args.output, num_train=args.num_train, num_val=args.num_val, image_size=args.image_size, seed=args.seed)
