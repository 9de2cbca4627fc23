"""RoIAlign over a pyramid, each RoI from the level that suits its size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.poolers import LevelMapper

from hiera_det.config import CfgNode


class PyramidRoIAlign(MultiScaleRoIAlign):
    """RoIAlign with half-pixel alignment at known strides.

    A box of area s^2 is pooled from level floor(4 + log2(s / 224)), clamped to the levels there are (FPN, eq. 1).
    Behaviour matched: ``ROIPooler`` of type ROIAlignV2 in detectron2/modeling/poolers.py.

    Args:
        strides: of the levels to pool from, by name, high to low resolution; each twice the one before.
        output_size: side of the pooled map in cells.
        sampling_ratio: samples a side in each cell; 0: as many as the RoI has feature cells.
    """

    def __init__(self, strides: dict[str, int], output_size: int, sampling_ratio: int) -> None:
        super().__init__(list(strides), output_size, sampling_ratio)
        self.scales = [1 / stride for stride in strides.values()]
        levels = [stride.bit_length() - 1 for stride in strides.values()]
        # Where torchvision's epsilon, 1e-6, lifts boxes just below a border between levels over it, this one does not.
        self.map_levels = LevelMapper(levels[0], levels[-1], eps=1e-8)

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: object = None) -> Tensor:
        """Pool boxes (N_i, 4) of each image, xyxy pixels, to (sum N_i, C, output_size, output_size)."""
        maps = [x[name] for name in self.featmap_names]
        rois = torch.cat([F.pad(of_image, (1, 0), value=i) for i, of_image in enumerate(boxes)])  # (N, 5): image, box
        levels = self.map_levels(boxes)
        pooled = maps[0].new_zeros(len(rois), maps[0].shape[1], *self.output_size)
        for level, (level_map, scale) in enumerate(zip(maps, self.scales, strict=True)):
            (index,) = torch.where(levels == level)
            # In float32, so that under autocast the RoIs' corners keep their fraction of a pixel.
            aligned = roi_align(
                level_map.float(), rois[index], self.output_size, scale, self.sampling_ratio, aligned=True
            )
            pooled.index_put_((index,), aligned.to(pooled.dtype))
        return pooled


def build_pooling(cfg: CfgNode, head: str, strides: dict[str, int]) -> PyramidRoIAlign:
    """The pooling of ``MODEL.<head>`` from the levels of ``MODEL.ROI_HEADS.IN_FEATURES``.

    Raises:
        ValueError: a level is not in the pyramid, or the levels' strides do not double.
    """
    names = list(cfg.MODEL.ROI_HEADS.IN_FEATURES)
    known = list(strides)
    if not set(names) <= set(known) or names != known[known.index(names[0]) :][: len(names)]:
        raise ValueError(f"MODEL.ROI_HEADS.IN_FEATURES: {names} is not a run of neighbours in the pyramid's {known}")
    node = cfg.MODEL[head]
    return PyramidRoIAlign({name: strides[name] for name in names}, node.POOLER_RESOLUTION, node.POOLER_SAMPLING_RATIO)
