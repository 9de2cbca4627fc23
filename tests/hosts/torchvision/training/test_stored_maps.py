"""Training and evaluation from maps in a store: what a run without it gives, and what is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from hiera_det.backbone import HieraBackbone
from hiera_det.config import load_config
from hiera_det.features.config import get_cfg
from hiera_det.features.inputs.find import find_items
from hiera_det.features.run import extract
from hiera_det.hosts.torchvision.detector import build_model

FROZEN = ["MODEL.BACKBONE.FREEZE_AT", "5", "INPUT.RANDOM_FLIP", "none"]
NO_TEST = ["DATASETS.TEST", "()"]


@pytest.fixture(scope="module")
def weights(trained) -> list[str]:
    return ["MODEL.WEIGHTS", str(trained.folder / "model_final.pth")]


@pytest.fixture(scope="module")
def make_store(trained, weights, datasets_root, tmp_path_factory):
    """``make_store("train", KEY, VALUE, ...)``: the maps of a split; the keys are those of an extraction."""

    def made(split: str, *options) -> str:
        node = load_config(trained.config).MODEL
        cfg = get_cfg()
        cfg.MODEL.HIERA.merge_from_other_cfg(node.HIERA)
        sizes = ["INPUT.RESIZE", "shortest_edge", "INPUT.MIN_SIZE_TEST", 64, "INPUT.MAX_SIZE_TEST", 64]
        kinds = ["FEATURES.MAPS", node.FPN.IN_FEATURES, "FEATURES.VECTORS", [], "FEATURES.DTYPE", "fp32"]
        few = ["STORE.ITEMS_PER_SHARD", 4, "DATALOADER.NUM_WORKERS", 0, "MODEL.DEVICE", "cpu"]
        cfg.merge_from_list([*sizes, *kinds, *few, *weights, *options])
        root = tmp_path_factory.mktemp("store") / split
        shapes = datasets_root / "shapes"
        file = shapes / "annotations" / f"instances_{split}.json"
        extract(cfg, find_items([str(file)], image_root=shapes / split), root)
        return str(root)

    return made


@pytest.fixture(scope="module")
def stores(make_store) -> list[str]:
    return ["DATASETS.TRAIN_FEATURES", make_store("train"), "DATASETS.TEST_FEATURES", make_store("val")]


@pytest.fixture(scope="module")
def runs(new_run, stores, weights, datasets_root):
    """Two epochs without the stores and with them, and how often the backbone was run in the latter."""
    calls = []
    encode = HieraBackbone.encode

    def counted(self, *arguments, **options):
        calls.append(len(arguments[0]))
        return encode(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(datasets_root))
        patch.setattr(HieraBackbone, "encode", counted)
        plain, stored = new_run(), new_run()
        plain(*FROZEN, *weights, "SOLVER.MAX_ITER", "10")
        calls.clear()
        stored(*FROZEN, *weights, *stores, "SOLVER.MAX_ITER", "10", "DATALOADER.NUM_WORKERS", "1")
    return plain, stored, calls


def results(run) -> list[dict]:
    return json.loads((run.folder / "inference" / "coco_instances_results.json").read_text())


def assert_same_results(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert one["category_id"] == other["category_id"] and one["image_id"] == other["image_id"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)
        assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-2)


def test_a_run_with_stores_is_one_without(runs):
    plain, stored, calls = runs
    assert len(stored.losses) == 10
    for ours, theirs in zip(stored.losses, plain.losses, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    assert calls == [1, 1]  # a comparison with each store
    assert_same_results(results(stored), results(plain))
    ours, theirs = stored.checkpoint()["model"], plain.checkpoint()["model"]
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=1e-5, msg=name)


def test_its_checkpoint_is_a_whole_detector(runs, new_run, stores, predict_tool, datasets_root, tmp_path):
    stored = runs[1]
    checkpoint = ["MODEL.WEIGHTS", str(stored.folder / "model_final.pth")]
    for more in ([], stores[2:]):
        run = new_run()
        run("--eval-only", *FROZEN, *checkpoint, *more)
        assert_same_results(results(run), results(stored))
    config = str(stored.folder / "config.yaml")  # it names the stores
    image = str(next((datasets_root / "shapes" / "val").iterdir()))
    predict_tool.main(["--config", config, "--input", image, "--output", str(tmp_path), *checkpoint])
    assert (tmp_path / "predictions.json").is_file()


def test_resumed(runs, new_run, stores, weights):
    stored, run = runs[1], new_run()
    shutil.copytree(stored.folder, run.folder)
    (run.folder / "last_checkpoint").write_text("model_0000005.pth")
    run("--resume", *FROZEN, *weights, *stores, "SOLVER.MAX_ITER", "10")
    assert run.losses == stored.losses


@pytest.mark.parametrize("norm", ["", "LN"])
def test_losses_and_gradients(config_file, tiny, norm):
    """Also of the norms of the maps, which train on a frozen backbone."""
    torch.manual_seed(0)
    cfg = load_config(config_file, [*FROZEN, "MODEL.HIERA.NORM", norm, "MODEL.ROI_HEADS.NUM_CLASSES", "5"])
    model = build_model(cfg).train()
    for parameter in model.backbone.bottom_up.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    sizes = [(64, 96), (64, 96)]
    images, targets = tiny.images(sizes, 1), tiny.targets(sizes, 2)
    with torch.no_grad():
        batch = model.backbone.bottom_up.stage_maps(model.batching(images).tensors)
    maps = [{name: feature[i] for name, feature in batch.items()} for i in range(2)]
    found = []
    for given in (None, maps):
        torch.manual_seed(1)
        model.zero_grad()
        losses = model(images, targets, maps=given)
        sum(losses.values()).backward()
        found.append((losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (losses, gradients), (of_maps, their_gradients) = found
    torch.testing.assert_close(of_maps, losses, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(their_gradients, gradients, rtol=1e-5, atol=1e-6)
    assert ("backbone.bottom_up.norm_res3.weight" in gradients) == (norm == "LN")
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images, maps=maps), model(images), rtol=1e-5, atol=1e-5)


def test_images_of_several_sizes_are_padded_with_zeros(config_file, tiny, monkeypatch):
    cfg = load_config(config_file, [*FROZEN, "MODEL.HIERA.SQUARE_PAD", "128"])
    model = build_model(cfg).eval()
    images = tiny.images([(64, 90), (100, 70)], 1)
    strides = model.backbone.bottom_up.strides
    maps = [
        {name: torch.ones(channels, -(-h // strides[name]), -(-w // strides[name])) for name, channels in pairs}
        for (h, w), pairs in [(image.shape[1:], model.backbone.bottom_up.channels.items()) for image in images]
    ]
    seen = []
    from_maps = model.backbone.from_maps
    monkeypatch.setattr(model.backbone, "from_maps", lambda found: seen.append(found) or from_maps(found))
    with torch.no_grad():
        assert len(model(images, maps=maps)) == 2
    for name, feature in seen[0].items():
        assert feature.shape == (2, model.backbone.bottom_up.channels[name], 128 // strides[name], 128 // strides[name])
        expected = [one[name].sum() for one in maps]
        assert feature.flatten(1).sum(dim=1).tolist() == expected
        assert feature[1, :, : -(-100 // strides[name]), : -(-70 // strides[name])].min() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["MODEL.BACKBONE.FREEZE_AT", "2"], r"DATASETS\.TRAIN_FEATURES: .*MODEL\.BACKBONE\.FREEZE_AT is 2, needed 5"),
        (["INPUT.RANDOM_FLIP", "horizontal"], "INPUT.RANDOM_FLIP is 'horizontal', needed 'none'"),
        (["INPUT.CROP.ENABLED", "True"], "INPUT.CROP.ENABLED is True, needed False"),
        (["INPUT.MIN_SIZE_TRAIN", "(64, 72)"], r"MIN_SIZE_TRAIN is \(64, 72\), needed \(64, 64\)"),
        (["INPUT.MIN_SIZE_TRAIN", "(48,)"], r"\n  INPUT\.MIN_SIZE_TEST: store 64, run 48"),
        (["INPUT.MAX_SIZE_TRAIN", "80", "INPUT.FORMAT", "BGR"], r"FORMAT: store 'RGB', run 'BGR'\n.*store 64, run 80"),
        (["INPUT.MIN_SIZE_TRAIN", "(0,)"], r"INPUT\.RESIZE: store 'shortest_edge', run 'none'"),
        (["MODEL.PIXEL_MEAN", "(0.0, 0.0, 0.0)"], r"MODEL\.PIXEL_MEAN: store \[123.675, 116.28, 103.53\], run \[0.0"),
        (["MODEL.HIERA.GLOBAL_BLOCKS", "[3]"], r"MODEL\.HIERA\.GLOBAL_BLOCKS: store \[2\], run \[3\]"),
        (["MODEL.HIERA.SQUARE_PAD", "64"], r"MODEL\.HIERA\.SQUARE_PAD: store 0, run 64"),
        (["MODEL.WEIGHTS", ""], r"res2 of '\d+' in .* is not what this run's backbone computes: it differs by \d+"),
    ],
)
def test_what_is_refused(run, stores, weights, options, message):
    with pytest.raises(ValueError, match=message):
        run(*FROZEN, *weights, *stores[:2], "SOLVER.MAX_ITER", "1", *NO_TEST, *options)
    assert run.losses == []


def test_a_bad_test_store_shows_before_training(run, make_store, stores, weights):
    other = make_store("val", "MODEL.PIXEL_MEAN", [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"DATASETS\.TEST_FEATURES: .*\n.*PIXEL_MEAN"):
        run(*FROZEN, *weights, "DATASETS.TEST_FEATURES", other)
    with pytest.raises(ValueError, match=r"DATASETS\.TEST_FEATURES: res2 of .* differs by"):
        run(*FROZEN, *stores[2:])  # from scratch
    with pytest.raises(
        ValueError, match=r"5 items of this run are not in .* such as '6', .* like '1', .*; extract them"
    ):
        run(*FROZEN, *weights, "DATASETS.TRAIN_FEATURES", stores[3])
    with pytest.raises(FileNotFoundError, match="no store of features"):
        run(*FROZEN, *weights, "DATASETS.TRAIN_FEATURES", "nowhere")
    assert run.losses == []


def test_a_store_without_a_map(run, make_store, weights):
    other = make_store("train", "FEATURES.MAPS", ["res4", "res5"])
    with pytest.raises(ValueError, match=r"FEATURES\.MAPS: store \['res4', 'res5'\], run also \['res2', 'res3'\]"):
        run(*FROZEN, *weights, "DATASETS.TRAIN_FEATURES", other)


def test_half_precision(run, make_store, weights):
    store = ["DATASETS.TRAIN_FEATURES", make_store("train", "FEATURES.DTYPE", "fp16")]
    run(*FROZEN, *weights, *store, *NO_TEST, "SOLVER.MAX_ITER", "1")
    assert len(run.losses) == 1


def test_an_image_that_extraction_could_not_read(run, make_store, weights, datasets_root, monkeypatch):
    """In training another takes its place, as where the file itself cannot be read."""
    broken = sorted((datasets_root / "shapes" / "train").iterdir())[3]
    content = broken.read_bytes()
    try:
        broken.write_bytes(content[:50])
        store = make_store("train")
    finally:
        broken.write_bytes(content)
    run(*FROZEN, *weights, "DATASETS.TRAIN_FEATURES", store, *NO_TEST, "SOLVER.MAX_ITER", "6")
    assert len(run.losses) == 6
    assert "no maps in the store: " in run.log and "taking the next image in its place" in run.log
