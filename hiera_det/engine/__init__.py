"""Training by Lightning, whatever the model: devices, checkpoints, exact resume, records, progress."""
