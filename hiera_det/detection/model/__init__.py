"""The detector, part by part, from torchvision's modules with detectron2's semantics."""
