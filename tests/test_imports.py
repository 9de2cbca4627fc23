"""The backbone needs torch, torchvision, numpy, safetensors and huggingface_hub, and nothing else of the package's."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import importlib.metadata as metadata, re, sys
from importlib.machinery import PathFinder
from packaging.requirements import Requirement

BASE = ["torch", "torchvision", "numpy", "safetensors", "huggingface_hub"]

def key(name): return re.sub("[-_.]+", "-", name).lower()

needed, todo = set(), list(BASE)
while todo:  # with what these need themselves
    name = key(todo.pop())
    if name in needed: continue
    needed.add(name)
    try: requirements = metadata.requires(name) or []
    except metadata.PackageNotFoundError: continue
    todo += [r.name for r in map(Requirement, requirements) if r.marker is None or r.marker.evaluate({"extra": ""})]
allowed = {module for module, names in metadata.packages_distributions().items() if {key(n) for n in names} & needed}

class Allowed(PathFinder):
    # What is not allowed is as if it were not installed.

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        top = name.partition(".")[0]
        known = top in sys.stdlib_module_names | allowed | {"hiera_det"} or top.startswith("_")
        return super().find_spec(name, path, target) if known else None

assert not allowed & {"lightning", "fvcore", "iopath", "cv2", "av", "pycocotools", "tensorboard"}
sys.meta_path[:] = [Allowed if finder is PathFinder else finder for finder in sys.meta_path]
import torch, hiera_det
torch.manual_seed(0)
small = {"embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1), "global_blocks": (2,)}
backbone = hiera_det.HieraBackbone("hiera_tiny_224", **small)
maps = backbone(torch.randn(1, 3, 64, 96))
assert list(maps) == ["res2", "res3", "res4", "res5"]
model = hiera_det.build_hiera("hiera_tiny_224", num_classes=3, **small)
model(torch.randn(1, 3, 224, 224))
torch.save({"model_state": model.state_dict()}, "hiera.pth")
assert hiera_det.load_weights(backbone, "hiera.pth").loaded
model.save_pretrained("published")
hiera_det.Hiera.from_pretrained("published")
hiera_det.load_weights(backbone, "published")
try:
    import fvcore
except ModuleNotFoundError:
    sys.exit(0)
sys.exit("nothing was blocked")
"""


def test_the_backbone_needs_little(tmp_path):
    done = subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
