"""Files, drawing: what knows nothing of the rest of the package."""
