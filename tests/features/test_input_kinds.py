"""tools/extract_features.py on every kind of input: the same pictures give the same features."""

from __future__ import annotations

import json
import tarfile

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from hiera_det import build_hiera
from hiera_det.config import load_config
from hiera_det.features import run
from hiera_det.features.config import defaults
from hiera_det.features.store.reader import FeatureStore
from hiera_det.inputs.find import find_items
from hiera_det.projects.ava.miniset import write_miniset

NAMES = ["000.png", "001.png", "002.png", "003.png"]


@pytest.fixture
def extracted(tool, config, tmp_path):
    """Run the tool on an input; the store."""

    def run_tool(source, *words: str) -> FeatureStore:
        root = tmp_path / "features"
        tool.main(["--config", str(config), "--input", str(source), "--output", str(root), *words])
        return FeatureStore(root)

    return run_tool


def coco(pictures, path):
    """A COCO JSON of the first pictures, the last of them with two boxes and a crowd region."""
    sizes = [(32, 32), (33, 40), (32, 64), (32, 32)]
    images = [
        {"id": i, "file_name": name, "width": w, "height": h}
        for i, (name, (w, h)) in enumerate(zip(NAMES, sizes, strict=True), 7)
    ]
    boxes = [[4, 4, 20, 24], [0, 0, 8, 8], [1, 1, 30, 30]]
    annotations = [
        {"id": i, "image_id": 10, "category_id": 1, "bbox": box, "area": 1, "iscrowd": int(i == 2)}
        for i, box in enumerate(boxes)
    ]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("kind", ["glob", "list", "tar", "coco"])
def test_images(kind, extracted, pictures, tmp_path, whole):
    ids, words = NAMES, []
    if kind == "glob":
        source = pictures / "00[0-3].png"
    elif kind == "list":
        source = tmp_path / "list.txt"
        source.write_text("# four\n" + "\n".join(str(pictures / name) for name in NAMES))
        ids = [str(pictures / name) for name in NAMES]
    elif kind == "tar":
        source = tmp_path / "shard.tar"
        with tarfile.open(source, "w") as tar:
            for name in NAMES:
                tar.add(pictures / name, name)
    else:
        source = coco(pictures, tmp_path / "instances.json")
        ids, words = ["7", "8", "9", "10"], ["--image-root", str(pictures)]
    store = extracted(source, *words)
    assert list(store) == ids
    folder = FeatureStore(whole)
    for ours, theirs in zip(ids, NAMES, strict=True):  # batches differ
        for name, value in folder[theirs].items():
            torch.testing.assert_close(store[ours][name], value, rtol=1e-4, atol=1e-5)


def test_boxes_of_a_coco_file(extracted, pictures, tmp_path):
    source = coco(pictures, tmp_path / "instances.json")
    words = ["--image-root", str(pictures), "--coco-boxes", "FEATURES.VECTORS", "['roi']"]
    store = extracted(source, *words)
    assert [len(store[name]["roi"]) for name in ("7", "8", "9", "10")] == [0, 0, 0, 2]
    boxes = torch.tensor([[4.0, 4.0, 24.0, 28.0], [0.0, 0.0, 8.0, 8.0]])
    bins = roi_align(store["10"]["res5"][None], [boxes], 7, 1 / 32, aligned=True)
    torch.testing.assert_close(store["10"]["roi"], bins.mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)


def test_boxes_of_a_table(extracted, pictures, tmp_path):
    (tmp_path / "boxes.csv").write_text("id,x1,y1,x2,y2\n001.png,0,0,33,40\n003.png,0,0,40,50\n")
    store = extracted(
        pictures / "00[0-3].png", "--boxes", str(tmp_path / "boxes.csv"), "FEATURES.VECTORS", "['roi', 'mean']"
    )
    assert store["001.png"]["roi"].shape == (1, 64) and store["000.png"]["roi"].shape == (0, 64)
    (failure,) = store.failed  # 003.png has 32 x 32 pixels
    assert failure.id == "003.png" and "outside" in failure.reason


def test_clips(tool, tmp_path):
    write_miniset(tmp_path / "mini", num_train=1, num_val=1, image_size=64)
    model = build_hiera("hiera_base_16x224", embed_dim=8, stages=(1, 1, 1, 1))
    torch.save({"model_state": model.state_dict()}, tmp_path / "video.pth")
    (tmp_path / "video.yaml").write_text(
        "VERSION: 2\nMODEL: {DEVICE: cpu, HIERA: {NAME: hiera_base_16x224, EMBED_DIM: 8, STAGES: [1, 1, 1, 1]}}\n"
        "FEATURES: {MAPS: [res5]}\nINPUT: {NUM_FRAMES: 4}\nDATALOADER: {NUM_WORKERS: 0}"
    )
    words = ["--config", str(tmp_path / "video.yaml"), "--weights", str(tmp_path / "video.pth")]
    videos = str(tmp_path / "mini" / "videos")
    tool.main([*words, "--input", videos, "--every", "2", "--output", str(tmp_path / "f")])
    store = FeatureStore(tmp_path / "f")
    assert list(store) == [f"{video}_0001.mp4@{second}.000" for video in ("train", "val") for second in (1, 3)]
    assert store["val_0001.mp4@1.000"]["res5"].shape == (64, 2, 2, 2)
    assert not np.array_equal(store["val_0001.mp4@1.000"]["mean"], store["val_0001.mp4@3.000"]["mean"])


def test_what_is_refused(config, pictures, tmp_path, monkeypatch):
    items = find_items([str(pictures)])

    def refused(message: str, *options, items=items) -> None:
        with pytest.raises(ValueError, match=message):
            run.extract(load_config(config, list(map(str, options)), defaults()), items, tmp_path / "f")
        assert not (tmp_path / "f").exists()

    refused("has roi, but no item has boxes", "FEATURES.VECTORS", "['roi']")
    refused(r"DATALOADER\.BATCH_SIZE is 0; expected a whole number from 1", "DATALOADER.BATCH_SIZE", 0)
    refused(r"INPUT\.RESIZE is 'zoom'", "INPUT.RESIZE", "zoom")
    refused(r"NUM_WORKERS is -1; expected a whole number from 0", "DATALOADER.NUM_WORKERS", -1)
    refused("no stage is called 'res6'", "FEATURES.MAPS", "['res6']")
    (tmp_path / "boxes.csv").write_text("id,x1,y1,x2,y2\n001.png,0,0,33,40\n")
    refused("has no roi", items=find_items([str(pictures)], boxes=tmp_path / "boxes.csv"))
    monkeypatch.setattr(run, "on_rank_zero", lambda rank, work: ([], "another digest"))
    refused("rank 0 found other items than rank 0, 23 of them")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="run it without torchrun"):
        run.extract(load_config(config, [], defaults()), items, tmp_path / "f", engine="ray")
