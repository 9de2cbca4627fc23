"""The store of features on disk: its layout, reader, writer and check."""

from hiera_det.features.store.reader import FeatureStore

__all__ = ["FeatureStore"]
