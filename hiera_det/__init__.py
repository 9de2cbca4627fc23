"""Hiera, the simple hierarchical vision transformer, for dense prediction."""

from hiera_det.backbone import HieraBackbone
from hiera_det.hiera.model import Hiera, build_hiera

__all__ = ["Hiera", "HieraBackbone", "build_hiera"]
__version__ = "0.1.0"
