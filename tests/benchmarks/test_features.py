"""What is timed does the work: the model on all items, and the whole from files to a store."""

from __future__ import annotations

import pytest
import torch

from benchmarks import features
from benchmarks.flops import count_flops
from hiera_det.config import load_config
from hiera_det.features.config import defaults
from hiera_det.features.inputs.find import find_items
from hiera_det.hiera.encoder import HieraEncoder
from hiera_det.hiera.variants import variant_arguments


def test_both_do_all_the_work(config, pictures, monkeypatch):
    items = [item for item in find_items([str(pictures)]) if item.id != "009.png"]
    cfg = load_config(config, [], defaults())
    stores, extract = [], features.extract_parts

    def kept(model, plan, parts, root, cfg):
        extract(model, plan, parts, root, cfg)
        stores.append(sorted(path.name for path in root.glob("0*.parquet")))

    monkeypatch.setattr(features, "extract_parts", kept)
    model, whole = features._build_model(cfg, items, "cpu"), features._build_whole(cfg, items, "cpu")
    assert model.items == whole.items == 22
    assert count_flops(model.counted) == count_flops(whole.counted) > 0
    assert stores == [[f"0000{i}.parquet" for i in range(6)]]


def test_timms_loop_does_all_the_work(config, pictures):
    pytest.importorskip("timm")
    items = [item for item in find_items([str(pictures)]) if item.id != "009.png"]
    overrides = ["INPUT.RESIZE", "crop", "INPUT.SIZE", "64", "MODEL.HIERA.NAME", "hiera_tiny_224"]
    cfg = load_config(config, overrides, defaults())
    job = features._build_timm(cfg, items, "cpu")
    encoder = HieraEncoder(**variant_arguments("hiera_tiny_224")).train()
    one, two = (count_flops(lambda n=n: encoder.encode(torch.zeros(n, 3, 64, 64))) for n in (1, 2))
    image = two - one  # timm's has its position embedding at this size, ours resizes it once a batch
    assert count_flops(job.counted) == len(items) * image


def test_timms_loop_takes_files_of_one_size(config, pictures):
    pytest.importorskip("timm")
    cfg = load_config(config, ["INPUT.RESIZE", "none"], defaults())
    with pytest.raises(ValueError, match=r"INPUT\.RESIZE crop"):
        features._build_timm(cfg, find_items([str(pictures)]), "cpu")
