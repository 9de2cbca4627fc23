"""Data: COCO-format files to augmented images and targets, in batches."""
