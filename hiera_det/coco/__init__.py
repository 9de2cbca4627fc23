"""COCO's format: annotations read and checked, data examined before a run, detections evaluated."""
