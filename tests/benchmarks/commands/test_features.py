"""What is timed does all the work: the model on all items, and the extraction from files to a store."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.commands import features
from benchmarks.flops import count_flops
from hiera_det.config import CfgNode, load_config
from hiera_det.features.config import defaults
from hiera_det.hiera.encoder import HieraEncoder
from hiera_det.hiera.variants import variant_arguments
from hiera_det.inputs.find import find_items


@pytest.fixture
def items(tmp_path):
    """10 images of three sizes."""
    random = np.random.default_rng(0)
    for i in range(10):
        size = [(32, 32), (40, 33), (64, 32)][i % 3]
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / f"{i}.png")
    return find_items([str(tmp_path)])


@pytest.fixture
def cfg(tmp_path):
    file = tmp_path / "features.yaml"
    node = CfgNode({
        "MODEL": {"HIERA": {"NAME": "hiera_tiny_224", "EMBED_DIM": 8, "STAGES": [1, 1, 1, 1]}},
        "FEATURES": {"MAPS": ["res5"], "VECTORS": ["mean"], "DTYPE": "fp32"},
        "STORE": {"ITEMS_PER_SHARD": 4},
        "DATALOADER": {"NUM_WORKERS": 0, "BATCH_SIZE": 2},
    })  # fmt: skip
    file.write_text(node.dump())
    return load_config(file, [], defaults())


def changed(cfg, *overrides):
    cfg = cfg.clone()
    cfg.defrost()
    cfg.merge_from_list(list(overrides))
    return cfg


def test_model_and_extraction(cfg, items, monkeypatch):
    stores, extract = [], features.extract_parts

    def recorded(model, plan, parts, root, cfg):
        extract(model, plan, parts, root, cfg)
        stores.append(sorted(path.name for path in root.glob("0*.parquet")))

    monkeypatch.setattr(features, "extract_parts", recorded)
    model, extraction = features._build_model(cfg, items, "cpu"), features._build_extraction(cfg, items, "cpu")
    assert model.items == extraction.items == 10
    assert count_flops(model.counted) == count_flops(extraction.counted) > 0
    assert stores == [["00000.parquet", "00001.parquet", "00002.parquet"]]


def test_timm(cfg, items):
    pytest.importorskip("timm")
    job = features._build_timm(changed(cfg, "INPUT.RESIZE", "crop", "INPUT.SIZE", "64"), items, "cpu")
    encoder = HieraEncoder(**variant_arguments("hiera_tiny_224")).train()
    one, two = (count_flops(lambda n=n: encoder.encode(torch.zeros(n, 3, 64, 64))) for n in (1, 2))
    image = two - one  # timm's has its position embedding at this size, ours resizes it once a batch
    assert job.items == 10 and count_flops(job.counted) == 10 * image


def test_timm_takes_files_of_one_size(cfg, items):
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match=r"INPUT\.RESIZE crop"):
        features._build_timm(changed(cfg, "INPUT.RESIZE", "none"), items, "cpu")
