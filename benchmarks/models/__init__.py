"""The models that are compared: this package's and those of others."""
