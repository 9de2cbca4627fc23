"""Generate the AVA mini-set: figures that walk, jump, wave, stand and crouch, in AVA's formats.

hiera-det ava-make-miniset --output datasets/ava_mini
"""

from __future__ import annotations

from collections.abc import Sequence

from hiera_det.cli.generate import generate
from hiera_det.projects.ava.miniset import write_miniset


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    generate(
        write_miniset,
        arguments,
        description=__doc__,
        items="clips",
        num_train=600,
        num_val=150,
        side="side in pixels, even",
    )
