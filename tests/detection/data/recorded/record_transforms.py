"""Records what detectron2 makes of two real COCO images: python record_transforms.py <folder with coco/>.

Run with detectron2 0.6 (commit 02b5c4e2) and shapely; writes transforms.json beside this file.
Every random draw is fixed: the flip is done, and all others are the share ``u`` of their range.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest import mock

from detectron2.data import transforms as T
from detectron2.data.dataset_mapper import DatasetMapper
from detectron2.data.datasets.coco import load_coco_json

IMAGE_IDS = (92660, 153797)  # the first has a crowd region
TARGET = 512


def main() -> None:
    root = Path(sys.argv[1]) / "coco"
    dicts = load_coco_json(str(root / "annotations/instances_val2017.json"), str(root / "val2017"), "recorded")
    jitter = [T.RandomFlip(1.0), T.ResizeScale(0.1, 2.0, TARGET, TARGET)]
    jitter.append(T.FixedSizeCrop((TARGET, TARGET), pad=False))
    shortest = [T.ResizeShortestEdge([300], 420, "choice"), T.RandomFlip(1.0)]
    cases = []
    for image_id in IMAGE_IDS:
        (entry,) = (d for d in dicts if d["image_id"] == image_id)
        for name, steps, u in (("jitter", jitter, 0.3), ("jitter", jitter, 0.8), ("shortest", shortest, 0.0)):
            mapper = DatasetMapper(
                True,
                augmentations=steps,
                image_format="RGB",
                use_instance_mask=True,
                instance_mask_format="bitmask",
                recompute_boxes=name == "jitter",
            )
            uniform = lambda low, high, size=None, u=u: low + (high - low) * u  # noqa: E731
            with mock.patch("numpy.random.uniform", uniform):
                found = mapper(entry)
            instances = found["instances"]
            cases.append(
                {
                    "image_id": image_id,
                    "steps": name,
                    "u": u,
                    "size": list(found["image"].shape[1:]),
                    "boxes": [[round(v, 3) for v in box] for box in instances.gt_boxes.tensor.tolist()],
                    "classes": instances.gt_classes.tolist(),
                    "mask_areas": instances.gt_masks.tensor.flatten(1).sum(1).tolist(),
                }
            )
    rows = ",\n".join(json.dumps(case) for case in cases)
    Path(__file__).with_name("transforms.json").write_text(f"[\n{rows}\n]\n")


if __name__ == "__main__":
    main()
