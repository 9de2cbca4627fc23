"""Hiera in pure torch; knows nothing of detection."""
