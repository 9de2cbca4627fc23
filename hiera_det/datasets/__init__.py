"""Data as people have them, recognised by what is in a folder: COCO, YOLO, Pascal VOC, LabelMe, CSV, masks."""
