"""Hiera in detectron2: importing this registers the backbones, :func:`add_hiera_config` adds their keys.

Nothing else in the package imports detectron2.
"""

from __future__ import annotations

from hiera_det.detectron2.requirement import check_detectron2

check_detectron2()

from hiera_det.config import add_hiera_config  # noqa: E402
from hiera_det.detectron2.backbone import Detectron2Hiera, build_pyramid  # noqa: E402
from hiera_det.detectron2.checkpoints import describe_checkpoints  # noqa: E402
from hiera_det.detectron2.data import build_mapper  # noqa: E402
from hiera_det.detectron2.default_trainer import Trainer  # noqa: E402
from hiera_det.detectron2.path_handler import register_weights  # noqa: E402

__all__ = ["Detectron2Hiera", "Trainer", "add_hiera_config", "build_mapper", "build_pyramid", "describe_checkpoints"]

register_weights()
