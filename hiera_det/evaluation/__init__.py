"""Evaluation: detections to COCO results and AP."""
