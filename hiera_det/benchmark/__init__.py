"""Hiera's implementations side by side, in one run on one machine."""
