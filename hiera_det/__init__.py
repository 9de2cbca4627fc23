"""Hiera, the simple hierarchical vision transformer, for dense prediction."""

__version__ = "0.1.0"
