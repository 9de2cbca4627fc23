"""Weights of Hiera from anywhere, in any format they circulate in; knows nothing of detection."""
