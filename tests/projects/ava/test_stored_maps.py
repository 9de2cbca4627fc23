"""Training and evaluation from maps in a store: what a run without it gives, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
import textwrap

import av
import numpy as np
import pytest
import torch

import ava.data.stored
from ava.config import get_cfg as get_ava_cfg
from ava.data.dataset import AvaDataset
from ava.data.keyframes import Keyframe
from ava.data.transforms import TestTransform
from ava.data.videos import VideoFiles, find_videos
from ava.datamodule import collate
from ava.model import build_model
from hiera_det import build_hiera
from hiera_det.backbone import HieraBackbone
from hiera_det.config import load_config
from hiera_det.data import video
from hiera_det.features.config import get_cfg
from hiera_det.features.inputs.find import find_items
from hiera_det.features.run import extract
from hiera_det.features.stored_maps import StoredMaps

BASE = ["DATASETS.SOURCE", "videos", "MODEL.BACKBONE.FREEZE_AT", "5", "TEST.EVAL_PERIOD", "0"]
BASE += ["MODEL.ROI_HEAD.IN_FEATURES", "['res4']"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> list[str]:
    """Of a whole Hiera, as published ones are."""
    torch.manual_seed(0)
    model = build_hiera("hiera_base_16x224", embed_dim=8, num_heads=1, stages=(1, 1, 1, 1))
    for parameter in model.parameters():  # a trained scale
        parameter.data.normal_(std=0.1)
    path = tmp_path_factory.mktemp("weights") / "hiera.pth"
    torch.save({"model_state": model.state_dict()}, path)
    return ["MODEL.WEIGHTS", str(path)]


@pytest.fixture(scope="module")
def times(root, tmp_path_factory):
    """By the command that ava/data/stored.py gives."""
    folder = tmp_path_factory.mktemp("times")
    for split in ("train", "val"):
        shutil.copy(root / "annotations" / f"{split}.csv", folder / f"ava_{split}_v2.2.csv")
    text = ava.data.stored.__doc__
    command = textwrap.dedent(text[text.index("    cat ") : text.index("    python tools")])
    subprocess.run(command, shell=True, check=True, cwd=folder)
    return folder / "times.csv"


@pytest.fixture(scope="module")
def make_store(trained, weights, root, times, tmp_path_factory):
    """``make_store(KEY, VALUE, ...)``: the maps of both splits; the keys are those of an extraction."""

    def made(*options, videos=root / "videos", times=times) -> str:
        run = load_config(trained.folder / "config.yaml", [], get_ava_cfg())
        cfg = get_cfg()
        cfg.MODEL.HIERA.merge_from_other_cfg(run.MODEL.HIERA)
        pixels = ["MODEL.PIXEL_MEAN", run.MODEL.PIXEL_MEAN, "MODEL.PIXEL_STD", run.MODEL.PIXEL_STD]
        clips = ["INPUT.NUM_FRAMES", run.INPUT.NUM_FRAMES, "INPUT.RATE", run.INPUT.RATE]
        sizes = ["INPUT.RESIZE", "shortest_edge", "INPUT.MIN_SIZE_TEST", run.INPUT.MIN_SIZE_TEST]
        kinds = ["FEATURES.MAPS", ["res4", "res5"], "FEATURES.VECTORS", [], "FEATURES.DTYPE", "fp32"]
        few = ["MODEL.HIERA.NORM", "", "DATALOADER.NUM_WORKERS", 0, "MODEL.DEVICE", "cpu", "STORE.ITEMS_PER_SHARD", 7]
        cfg.merge_from_list([*pixels, *clips, *sizes, *kinds, *few, *weights, *options])
        folder = tmp_path_factory.mktemp("store") / "features"
        extract(cfg, find_items([str(videos)], video=True, times=times), folder)
        return str(folder)

    return made


@pytest.fixture(scope="module")
def store(make_store) -> str:
    return make_store()


def both(store: str) -> list[str]:
    return ["DATASETS.TRAIN_FEATURES", store, "DATASETS.TEST_FEATURES", store]


@pytest.fixture(scope="module", params=[["res4"], ["res4", "res5"]], ids=str)
def runs(request, new_run, store, weights):
    """Two epochs and more without the store and with it, and how often video was decoded in the latter."""
    stages = ["MODEL.ROI_HEAD.IN_FEATURES", str(request.param)]
    decoded, computed = [], []
    with pytest.MonkeyPatch.context() as patch:
        read, encode = video._read_nearest, HieraBackbone.encode
        patch.setattr(video, "_read_nearest", lambda *words: decoded.append(words) or read(*words))
        patch.setattr(HieraBackbone, "encode", lambda *words, **o: computed.append(words) or encode(*words, **o))
        plain, stored = new_run(), new_run()
        plain(*BASE, *weights, *stages, "SOLVER.MAX_ITER", "13")
        decoded.clear()
        computed.clear()
        stored(*BASE, *weights, *stages, *both(store), "SOLVER.MAX_ITER", "13")
    return plain, stored, (len(decoded), len(computed)), stages


def scores(run) -> list[float]:
    return [float(line.rsplit(",", 1)[1]) for line in run.results.splitlines()]


def test_a_run_with_a_store_is_one_without(runs):
    plain, stored, counts, _ = runs
    assert len(stored.losses) == 13
    assert stored.losses == pytest.approx(plain.losses, rel=1e-5)
    assert scores(stored) == pytest.approx(scores(plain), abs=1e-5)
    assert counts == (2, 2)  # a comparison for each split
    ours, theirs = (torch.load(run.folder / "model_final.pth", weights_only=True)["model"] for run in (stored, plain))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-6, msg=name)


def test_its_checkpoint_is_a_whole_detector(runs, new_run, store):
    _, stored, _, stages = runs
    for more in ([], ["DATASETS.TEST_FEATURES", store, "DATALOADER.NUM_WORKERS", "1"]):
        run = new_run()
        run("--eval-only", *BASE, *stages, *more, "MODEL.WEIGHTS", str(stored.folder / "model_final.pth"))
        assert scores(run) == pytest.approx(scores(stored), abs=1e-5)


def test_gradients():
    """Also of the norms of the maps, which train on a frozen backbone."""
    cfg = get_ava_cfg()
    hiera = ["MODEL.HIERA.NAME", "hiera_base_16x224", "MODEL.HIERA.EMBED_DIM", 8, "MODEL.HIERA.NUM_HEADS", 1]
    cfg.merge_from_list([*hiera, "MODEL.HIERA.STAGES", [1, 1, 1, 1], "MODEL.BACKBONE.FREEZE_AT", 5])
    cfg.merge_from_list(["MODEL.ROI_HEAD.IN_FEATURES", ["res5", "res4"], "MODEL.ROI_HEAD.DROPOUT", 0.5])
    torch.manual_seed(0)
    model = build_model(cfg, 5).train()
    clips = torch.randint(0, 256, (2, 3, 4, 64, 96), dtype=torch.uint8)
    boxes = [torch.tensor([[3.0, 4.0, 50.0, 60.0]]), torch.tensor([[40.0, 4.0, 96.0, 64.0], [0.0, 0.0, 30.0, 30.0]])]
    with torch.no_grad():
        maps = model.backbone.stage_maps(model.normalise(clips))
    found = []
    for given in ((clips, boxes), (None, boxes, maps)):
        torch.manual_seed(1)
        model.zero_grad()
        logits = model(*given)
        logits.square().sum().backward()
        found.append((logits, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-7)
    assert {"backbone.norm_res4.weight", "fpn.inner_blocks.0.0.weight", "head.proj.weight"} <= found[0][1].keys()
    halves = {name: feature.half() for name, feature in maps.items()}
    model.eval()
    assert torch.equal(model(None, boxes, halves), model(None, boxes, {k: v.float() for k, v in halves.items()}))
    with pytest.raises(ValueError, match="neither clips nor maps"):
        model(None, boxes)
    with pytest.raises(ValueError, match="2 clips with 1 lists of boxes"):
        model(None, boxes[:1], maps)


def write_video(path, height, width):
    """Two seconds of noise."""
    draw = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        frames = draw.integers(0, 256, (60, height, width, 3), np.uint8)
        packets = [packet for frame in frames for packet in stream.encode(av.VideoFrame.from_ndarray(frame))]
        container.mux([*packets, *stream.encode()])


def test_clips_of_several_sizes(make_store, trained, tmp_path):
    """A wide video and a square one: boxes lie where they do in the clips, maps are padded to the larger."""
    folder = tmp_path / "videos"
    folder.mkdir()
    square, wide = folder / "square.mp4", folder / "wide.mp4"
    write_video(square, 64, 64)
    write_video(wide, 80, 150)
    times = tmp_path / "times.csv"
    times.write_text(f"video_id,seconds\n{square.name},1\n{wide.name},1.5\n")
    cfg = load_config(trained.folder / "config.yaml", [*BASE], get_ava_cfg())
    cfg.defrost()
    cfg.DATASETS.TRAIN_FEATURES = make_store(videos=folder, times=times)
    maps = ava.data.stored.open_maps(cfg, "TRAIN")
    assert isinstance(maps, StoredMaps)
    boxes = np.array([[0.1, 0.2, 0.7, 0.9]])
    keyframes = [
        Keyframe(path.stem, second, boxes, np.ones((1, 2), np.float32), np.ones(1))
        for path, second in ((square, 901.0), (wide, 901.5))
    ]
    source = VideoFiles(find_videos(folder), first_second=900)
    stored = AvaDataset(keyframes, source, TestTransform(64), 4, 4, maps)
    plain = AvaDataset(keyframes, source, TestTransform(64), 4, 4)
    for i in range(2):
        assert torch.equal(stored[i]["boxes"], plain[i]["boxes"])
    assert plain[1]["clip"].shape[-2:] == (64, 120)
    batch = collate([stored[0], stored[1]])
    assert batch["maps"]["res4"].shape[-2:] == (4, 8)
    assert batch["maps"]["res4"][0, ..., 4:].abs().max() == 0 < batch["maps"]["res4"][1, ..., 7].abs().max()

    cfg.DATASETS.TRAIN_FEATURES = make_store("INPUT.MAX_SIZE_TEST", 119, videos=folder, times=times)
    short = ava.data.stored.open_maps(cfg, "TRAIN")
    AvaDataset(keyframes[:1], source, TestTransform(64), 4, 4, short)
    with pytest.raises(ValueError, match=r"TEST 119, but 1 clips of this run are longer, such as 'wide.*with 120"):
        AvaDataset(keyframes, source, TestTransform(64), 4, 4, short)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["DATASETS.SOURCE", "frames"], r"TRAIN_FEATURES: .*DATASETS\.SOURCE is 'frames', needed 'videos'"),
        (["MODEL.BACKBONE.FREEZE_AT", "4"], r"FREEZE_AT is 4, needed 5"),
        (["INPUT.FLIP", "True"], r"INPUT\.FLIP is True, needed False"),
        (["INPUT.BOX_JITTER", "[0.2, 0.1, 0.1, 0.05]"], r"INPUT\.BOX_JITTER is \[0.2, .*, needed None"),
        (["INPUT.CENTER_CROP_TEST", "True"], r"INPUT\.CENTER_CROP_TEST is True, needed False"),
        (["INPUT.MIN_SIZE_TEST", "72"], r"INPUT\.MIN_SIZE_TEST: store 64, run 72"),
        (["INPUT.RATE", "3", "INPUT.NUM_FRAMES", "8"], r"NUM_FRAMES: store 4, run 8\n.*RATE: store 4, run 3"),
        (["MODEL.ROI_HEAD.IN_FEATURES", "['res3']"], r"MAPS: store \['res4', 'res5'\], run also \['res3'\]"),
        (["DATASETS.FIRST_SECOND", "901.0"], r"\d+ items of this run are not in .*mp4@1\.000', .* like '.*mp4@2\.000'"),
        (["MODEL.WEIGHTS", ""], r"res4 of '.*mp4@\d\.000' in .* is not what this run's backbone computes"),
    ],
)
def test_what_is_refused(new_run, store, weights, options, message):
    run = new_run()
    with pytest.raises(ValueError, match=message):
        run(*BASE, *weights, *both(store), "SOLVER.MAX_ITER", "1", *options)
    assert not (run.folder / "model_final.pth").exists()


def test_a_clip_that_extraction_could_not_read(new_run, make_store, trained, root, tmp_path):
    """It is named and left out, as where the video itself cannot be read. The store is of a run's checkpoint."""
    shutil.copytree(root / "videos", tmp_path / "videos")
    broken = sorted(path for path in (tmp_path / "videos").iterdir() if "val" in path.name)[0]
    broken.write_bytes(broken.read_bytes()[:2000])
    run = new_run()
    weights = ["MODEL.WEIGHTS", str(trained.folder / "model_final.pth")]
    stages = load_config(trained.folder / "config.yaml", [], get_ava_cfg()).MODEL.ROI_HEAD.IN_FEATURES
    store = make_store(*weights, "FEATURES.MAPS", stages, videos=tmp_path / "videos")
    run("--eval-only", *BASE, "MODEL.ROI_HEAD.IN_FEATURES", str(stages), *weights, "DATASETS.TEST_FEATURES", store)
    log = (run.folder / "log.txt").read_text()
    assert f"not evaluated: clip of video {broken.stem} at second 902: no maps in the store: " in log
    assert broken.stem not in run.results and len(run.results) > 0
