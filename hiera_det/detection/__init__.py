"""The detector from torchvision's parts with detectron2's semantics, trained by Lightning."""
