"""Detection data in COCO's format: dataset, targets, augmentation, and a generated set."""
