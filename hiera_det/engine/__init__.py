"""Training and evaluation by Lightning, whatever the task: devices, checkpoints, exact resume, metrics, loggers."""
