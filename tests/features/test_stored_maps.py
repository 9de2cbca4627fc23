"""Maps of a store for a run: sizes, and when they are close enough to what is computed."""

from __future__ import annotations

import sys

import pytest
import torch

from hiera_det.config import get_cfg
from hiera_det.features.config import INDIFFERENT_KEYS
from hiera_det.features.inputs.items import Item, Plan
from hiera_det.features.opening import open_stored_maps
from hiera_det.features.store.reader import Features, FeatureStore
from hiera_det.features.store.writer import create_store, write_shard
from hiera_det.features.stored_maps import StoredMaps

ITEMS = [Item(name, f"{name}.jpg") for name in "abcd"]
SIZES = {"a": (40, 60), "b": (64, 64), "d": (33, 32)}  # as decoded, and as seen; "c" cannot be read


def write_store(root, cfg, parts=(0, 1), **changes):
    """A store that fits a config, but for some keys."""
    spec = {f"MODEL.HIERA.{key}": value for key, value in cfg.MODEL.HIERA.items() if key not in INDIFFERENT_KEYS}
    spec |= {"MODEL.PIXEL_MEAN": cfg.MODEL.PIXEL_MEAN, "MODEL.PIXEL_STD": cfg.MODEL.PIXEL_STD, "INPUT.FORMAT": "RGB"}
    spec |= {"FEATURES.MAPS": ["res4", "res5"], "FEATURES.DTYPE": "fp16", "FEATURES.PRECISION": "fp32"}
    spec |= {"model": "hiera_base_224", "weights_sha256": "ab" * 32, "package_version": "0"} | changes
    plan = Plan(ITEMS, 2)
    create_store(root, spec, plan)
    for part in parts:
        done = [_features(item) for item in plan[part] if item.id in SIZES]
        write_shard(root, part, done, [(item, "cut off") for item in plan[part] if item.id not in SIZES])
    return root


def _features(item):
    height, width = SIZES[item.id]
    draw = torch.Generator().manual_seed(ord(item.id))
    strides = {"res4": 16, "res5": 32}
    maps = {k: torch.randn(4, -(-height // s), -(-width // s), generator=draw).half() for k, s in strides.items()}
    return Features(item, height, width, maps, strides, {})


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.FREEZE_AT = 5
    return cfg


def open_store(cfg, root, stages=("res4",)):
    cfg.DATASETS.TRAIN_FEATURES = str(root)
    needed = {"INPUT.RANDOM_FLIP": "horizontal"}
    return StoredMaps("DATASETS.TRAIN_FEATURES", cfg, stages, inputs={"INPUT.FORMAT": "RGB"}, needed=needed)


@pytest.fixture
def maps(cfg, tmp_path):
    return open_store(cfg, write_store(tmp_path / "store", cfg))


def test_reading(maps):
    assert maps.strides == {"res4": 16} and maps.failed == {"c": "cut off"}
    found = maps.read("d", (33, 32))
    assert list(found) == ["res4"] and found["res4"].dtype == torch.float16 and found["res4"].shape == (4, 3, 2)
    assert torch.equal(found["res4"], maps.store["d"]["res4"])
    assert maps.sizes(["d", "c", "a", "d"]).tolist() == [[33, 32], [0, 0], [40, 60], [33, 32]]
    with pytest.raises(ValueError, match=r"res4 of 'd' is 3 x 2, expected is 2 x 2 of 32 x 32 pixels"):
        maps.read("d", (32, 32))


def test_other_stages_and_vectors_are_not_read(maps, monkeypatch):
    asked, read = [], FeatureStore.read
    monkeypatch.setattr(FeatureStore, "read", lambda self, *words: asked.append(words) or read(self, *words))
    maps.read("a", SIZES["a"])
    assert asked == [("a", ("res4",))]


def test_without_the_libraries_of_a_store(cfg, monkeypatch):
    """They are needed, and the config's other keys looked at, where a store is named."""
    monkeypatch.setitem(sys.modules, "hiera_det.features.stored_maps", None)
    arguments = {"stages": ["res4"], "inputs": {}, "needed": {"INPUT.RANDOM_FLIP": "nothing"}}
    assert open_stored_maps(cfg, "TEST", **arguments) is None
    cfg.DATASETS.TEST_FEATURES = "store"
    assert open_stored_maps(cfg, "TRAIN", **arguments) is None
    with pytest.raises(ValueError, match=r"DATASETS\.TEST_FEATURES: to read a store, pip install"):
        open_stored_maps(cfg, "TEST", **arguments)


def test_unknown_ids(maps, cfg, tmp_path):
    maps.check_ids("abcd")
    with pytest.raises(
        ValueError, match=r"2 items of this run are not in .*, such as 'e', 'f'; .* like 'a', 'b', 'd'; e"
    ):
        maps.check_ids("abcdef")
    part = open_store(cfg, write_store(tmp_path / "part", cfg, parts=[0]))
    with pytest.raises(ValueError, match=r"2 items .* it is not finished: start its extraction again"):
        part.check_ids("abcd")
    empty = open_store(cfg, write_store(tmp_path / "empty", cfg, parts=[]))
    with pytest.raises(ValueError, match=r"4 items .* ids are like none; it is not finished"):
        empty.check_ids("abcd")


def test_all_differences_at_once(cfg, tmp_path):
    root = write_store(tmp_path / "store", cfg)
    cfg.MODEL.HIERA.LAYOUT = "released"
    cfg.MODEL.HIERA.NAME = "hiera_tiny_224"
    cfg.MODEL.HIERA.DROP_PATH_RATE = 0.3  # has no part in what a frozen backbone computes
    cfg.MODEL.HIERA.NORM = "LN"  # the run's own
    with pytest.raises(ValueError) as error:
        open_store(cfg, root, ["res2", "res4"])
    first, *lines = str(error.value).splitlines()
    assert "does not hold what this run would compute" in first
    assert sorted(line.strip() for line in lines) == [
        "FEATURES.MAPS: store ['res4', 'res5'], run also ['res2']",
        "MODEL.HIERA.LAYOUT: store 'windowed', run 'released'",
        "MODEL.HIERA.NAME: store 'hiera_base_224', run 'hiera_tiny_224'",
    ]
    normed = write_store(tmp_path / "normed", cfg, **{"MODEL.HIERA.NORM": "LN"})
    with pytest.raises(ValueError, match=r"MODEL\.HIERA\.NORM: store 'LN', run '' \(the norms are trained"):
        open_store(cfg, normed)
    cfg.INPUT.RANDOM_FLIP = "none"
    with pytest.raises(ValueError, match=r"FREEZE_AT is 4, needed 5; INPUT.RANDOM_FLIP is 'none', needed 'hor"):
        cfg.MODEL.BACKBONE.FREEZE_AT = 4
        open_store(cfg, root)


@pytest.mark.parametrize(("kind", "allowed"), [("fp32", 0.005), ("fp16", 0.01), ("bf16", 0.05)])
@pytest.mark.parametrize("key", ["FEATURES.DTYPE", "FEATURES.PRECISION"])
def test_what_rounding_explains(cfg, tmp_path, kind, allowed, key):
    changes = {"FEATURES.DTYPE": "fp32", "FEATURES.PRECISION": "fp32", key: kind}
    maps = open_store(cfg, write_store(tmp_path / "store", cfg, **changes))
    stored = {"res4": torch.randn(4, 3, 4)}
    noise = torch.randn(4, 3, 4)
    noise *= stored["res4"].norm() / noise.norm()
    padded = torch.full((4, 5, 6), torch.nan)
    padded[:, :3, :4] = stored["res4"] + 0.9 * allowed * noise
    maps.compare("a", stored, {"res4": padded})
    padded[:, :3, :4] = stored["res4"] + 1.1 * allowed * noise
    with pytest.raises(ValueError, match=r"res4 of 'a' in .*, at most by .*; rounding explains"):
        maps.compare("a", stored, {"res4": padded})
    with pytest.raises(ValueError, match="differs by nan"):
        maps.compare("a", stored, {"res4": padded * torch.nan})
