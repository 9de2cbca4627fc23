"""Object detection and instance segmentation from torchvision's parts, with detectron2's semantics: a task."""
