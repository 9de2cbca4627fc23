from __future__ import annotations

from hiera_det.benchmark import features
from hiera_det.benchmark.features import Extraction, compare_extraction
from hiera_det.config import load_config
from hiera_det.features.config import get_cfg
from hiera_det.features.inputs.find import find_items


def test_both_do_all_the_work(config, pictures, monkeypatch):
    items = [item for item in find_items([str(pictures)]) if item.id != "009.png"]
    cfg = load_config(config, [], get_cfg())
    stores = []
    extract = features.extract_parts

    def kept(model, plan, parts, root, cfg):
        extract(model, plan, parts, root, cfg)
        stores.append(sorted(path.name for path in root.glob("0*.parquet")))

    monkeypatch.setattr(features, "extract_parts", kept)
    found = compare_extraction(cfg, items, device="cpu", rounds=2)
    assert stores == [[f"0000{i}.parquet" for i in range(6)]] * 3  # with the round that is not counted
    assert len(found.bare) == len(found.whole) == 2 and min(found.bare + found.whole) > 0


def test_table():
    found = Extraction(10, bare=[1.0, 2.0, 4.0], whole=[2.0, 2.0, 5.0])
    assert found.shares == [0.5, 1.0, 0.8]
    assert found.table.splitlines() == [
        "model      5.00 items/s (2.50-10.00)",
        "whole      5.00 items/s (2.00-5.00)",
        "whole / model: 0.800 (0.500-1.000)",
    ]
