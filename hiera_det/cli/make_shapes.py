"""Generate the "shapes" dataset: COCO-format detection and segmentation data where none is at hand.

hiera-det make-shapes --output datasets/shapes
"""

from __future__ import annotations

from collections.abc import Sequence

from hiera_det.cli.generate import generate
from hiera_det.detection.data.shapes import write_shapes


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    generate(write_shapes, arguments, description=__doc__, items="images", num_train=1500, num_val=200)
