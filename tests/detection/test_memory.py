"""A large image's masks are never in memory together: each case in a process of its own, with its peak."""

from __future__ import annotations

import subprocess
import sys

import pytest

SETUP = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from PIL import Image
from hiera_det.coco.evaluator import CocoEvaluator
from hiera_det.coco.records import Annotations, ImageRecord, Instance
from hiera_det.coco.results import encode_mask
from hiera_det.config import get_cfg
from hiera_det.detection.comparison_images import ComparisonImages
from hiera_det.detection.data.targets import make_sample, make_target
from hiera_det.detection.data.transforms import build_train_transform
from hiera_det.detection.detections import Detections
from hiera_det.detection.model.pasting import PastedMasks
from hiera_det.utils.visualize import write_image

H, W, N = 2000, 3000, 50
folder = Path(sys.argv[1])
corner = torch.rand(N, 2) * torch.tensor([W / 2, H / 2])
boxes = torch.cat([corner, corner + torch.rand(N, 2) * torch.tensor([W / 4, H / 4]) + 1], dim=1)
boxes[0] = torch.tensor([0, 0, W, H])
masks = PastedMasks(torch.rand(N, 28, 28), boxes, (H, W))
found = {"boxes": boxes, "scores": torch.linspace(1, 0.6, N), "labels": torch.ones(N, dtype=torch.int64)}
small = encode_mask(np.ones((H, W), np.uint8))
instances = [Instance(1, tuple(b), (b[0], b[1], b[2] - b[0], b[3] - b[1]), small) for b in boxes.tolist()]
record = ImageRecord(1, "a.png", H, W, instances)
image = np.zeros((H, W, 3), np.uint8)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
"""
CASES = {
    "evaluated and drawn": """
evaluator = CocoEvaluator(Annotations("a.json", [1], ["x"], [record]))
evaluator.update(1, {**found, "masks": masks})
drawn = ComparisonImages("RGB")
drawn.keep(torch.from_numpy(image).permute(2, 0, 1), 1, evaluator.results)
evaluator.evaluate()
drawn.write(folder, evaluator.annotations)
assert (folder / "000000000001.png").is_file()
""",
    "predicted": """
its = Detections(image, boxes, found["scores"], found["labels"] - 1, found["labels"], masks, ["x"])
assert len(its.to_coco()) == N
write_image(folder / "a.png", np.asarray(its.draw()))
""",
    "trained on": """
cfg = get_cfg()
cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "large_scale_jitter", [0.5, 0.5]
cfg.INPUT.MAX_SIZE_TRAIN = 512
resized, sample = build_train_transform(cfg)(Image.fromarray(image), make_sample(record))
size = (resized.height, resized.width)
assert len(make_target(record, sample, size, mask_format="bitmask", recompute_boxes=True)["masks"]) == N
""",
}


@pytest.mark.parametrize("case", CASES)
def test_masks_are_handled_one_by_one(case, tmp_path):
    script = f"{SETUP}{CASES[case]}\nprint(peak() - before)"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    together = 2000 * 3000 * 50 / 2**20  # MiB, of all masks as bytes: 286
    assert float(done.stdout) < together * 2 / 3, done.stdout
