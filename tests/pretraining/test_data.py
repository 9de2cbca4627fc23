"""Items of pretraining: seeded by the draw alone, with exact masks; what cannot be read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from hiera_det.config import load_config
from hiera_det.data.video import NOMINAL_FPS
from hiera_det.data.video_writer import write_video
from hiera_det.inputs.find import find_items
from hiera_det.inputs.items import Item
from hiera_det.inputs.reading import UnreadableItemError
from hiera_det.pretraining.config import defaults, with_iterations
from hiera_det.pretraining.data import PretrainingDataset
from hiera_det.pretraining.task import PretrainingTask


@pytest.fixture
def images(datasets_root):
    return find_items([str(datasets_root / "shapes" / "train")])


@pytest.fixture
def config():
    """``config(KEY, value, ...)``: that of `mae_small`, at 64 x 96."""
    return lambda *words: load_config(
        "configs/mae_small.yaml", ["INPUT.SIZE", [64, 96], "INPUT.REPEATS", 3, *words], defaults()
    )


@pytest.fixture
def video(tmp_path):
    """Ten seconds, whose brightness is the time."""
    path = tmp_path / "ten.mp4"
    frames = ((i / 10, np.full((64, 96, 3), 20 + 2 * i, np.uint8)) for i in range(100))
    write_video(path, frames)
    return path


def same(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in ("crops", "masks"))


def test_an_item_depends_on_its_draw_alone(images, config):
    dataset = PretrainingDataset(images, config())
    first = dataset[2, 5]
    assert first["crops"].shape == (3, 3, 64, 96) and first["crops"].dtype == torch.uint8
    assert first["masks"].shape == (3, 6) and (first["masks"].sum(1) == int(6 * 0.4)).all()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert same(dataset[2, 5], first) and not same(dataset[2, 6], first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first["crops"][0], first["crops"][1])  # each crop is drawn
    assert len({tuple(row.tolist()) for draw in range(8) for row in dataset[2, draw]["masks"]}) > 4


def test_a_test_item_is_always_the_same(images, config):
    dataset = PretrainingDataset(images, config())
    assert same(dataset[1], dataset[1]) and dataset[1]["crops"].shape == (1, 3, 64, 96)
    assert not torch.equal(dataset[0]["masks"], dataset[1]["masks"]) or not torch.equal(
        dataset[2]["masks"], dataset[1]["masks"]
    )


def test_bgr_turns_the_channels(images, config):
    rgb, bgr = (PretrainingDataset(images, config("INPUT.FORMAT", word))[0]["crops"] for word in ("RGB", "BGR"))
    assert torch.equal(rgb.flip(1), bgr) and not torch.equal(rgb, bgr)


@pytest.mark.parametrize(("mode", "image_format", "channels"), [("L", "L", 1), ("RGBA", "BGR", 4)])
def test_grey_and_four_channels(mode, image_format, channels, config, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, channels), np.uint8)
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode).save(tmp_path / "a.png")
    words = ["MODEL.PIXEL_MEAN", [99.0] * channels, "MODEL.PIXEL_STD", [50.0] * channels, "INPUT.FORMAT", image_format]
    cfg = config(*words, "DATASETS.TEST", (str(tmp_path),))
    task = PretrainingTask(cfg)
    crop = task.test_dataset[0]["crops"][0]  # the whole image, which is of INPUT.SIZE
    order = [2, 1, 0, 3] if channels == 4 else [0]
    assert torch.equal(crop, torch.from_numpy(pixels).permute(2, 0, 1)[order])
    batch = task.collate([task.test_dataset[0]])
    (loss,) = task.predict(task.build_model().eval(), batch)
    task.draw(tmp_path / "drawn")
    assert loss > 0 and (tmp_path / "drawn" / "pictures" / "000.png").is_file()


def test_clips_move_within_their_step(video, config):
    words = ["MODEL.HIERA.NAME", "hiera_base_16x224", "INPUT.NUM_FRAMES", 4, "MODEL.MAE.MASK_RATIO", 0.75]
    cfg = config(*words, "DATASETS.EVERY", 2.0, "INPUT.CROP_SCALE", [0.9, 1.0], "INPUT.RATE", 1)
    items = find_items([str(video)], video=True, every=2.0)
    dataset = PretrainingDataset(items, cfg)
    assert [item.time for item in items] == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert dataset[1, 0]["crops"].shape == (3, 3, 4, 64, 96) and dataset[1, 0]["masks"].shape == (3, 2 * 6)
    seconds = [(dataset[1, draw]["crops"].float().mean().item() - 20) / 20 for draw in range(24)]
    assert 1.9 < min(seconds) < 2.5 and 3.5 < max(seconds) < 4.1
    middle = (dataset[1]["crops"].float().mean().item() - 20) / 20
    assert middle == pytest.approx(3.0, abs=0.15) and NOMINAL_FPS == 30


def test_a_broken_file_gives_way_to_another(images, config, tmp_path, caplog):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    items = [Item("broken.jpg", str(tmp_path / "broken.jpg")), *images]
    dataset = PretrainingDataset(items, config())
    item = dataset[0, 3]
    assert item["index"] != 0 and list(item["broken"]) == [0] and "broken.jpg" in item["broken"][0]
    assert same(item, dataset[0, 3]) and "taking another" in caplog.text
    assert dataset[0] == {"index": 0, "broken": {0: item["broken"][0]}}
    with pytest.raises(UnreadableItemError, match=r"20 items in a row cannot be read; the last: .*broken"):
        PretrainingDataset(items[:1], config())[0, 0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["INPUT.SIZE", [64, 100]],
            r"INPUT\.SIZE, .* do not fit: an input of 64 x 100 .*; expected \(H, W\) in multiples of 32 x 32",
        ),
        (["INPUT.SIZE", [64]], r"INPUT\.SIZE is \[64\]; expected a list of 2 whole numbers"),
        (["MODEL.MAE.MASK_RATIO", 0.0], "MASK_RATIO is 0.0; expected a number above 0 and below 1"),
        (["MODEL.MAE.MASK_RATIO", 0.9], "a mask ratio of 0.9 keeps 0 of 6"),
        (["INPUT.CROP_SCALE", [0.5, 0.2]], r"INPUT\.CROP_SCALE is \[0\.5, 0\.2\]"),
        (["INPUT.RANDOM_FLIP", "vertical"], "INPUT.RANDOM_FLIP is 'vertical'; expected one of horizontal, none"),
        (["INPUT.CROP_SCALE", ["a", "b"]], r"INPUT\.CROP_SCALE is \['a', 'b'\]; expected a list of 2 numbers"),
        (["MODEL.PIXEL_MEAN", ["a", "b", "c"]], r"MODEL\.PIXEL_MEAN is .*; expected a list of 1 to 4 numbers"),
        (["MODEL.PIXEL_MEAN", [1.0, 2.0], "MODEL.PIXEL_STD", [1.0, 2.0]], "MODEL.PIXEL_MEAN has 2 values"),
        (["MODEL.MAE.DECODER_NUM_HEADS", 0], "DECODER_NUM_HEADS is 0; expected a whole number from 1"),
        (["MODEL.HIERA.EMBED_DIM", 9, "MODEL.HIERA.NUM_HEADS", 2], "9 channels cannot be split into 2 heads"),
        (
            ["MODEL.HIERA.STAGES", [1, 0, 1, 1]],
            r"STAGES is \[1, 0, 1, 1\]; expected a list of 1 to 16 whole",
        ),
        (["SOLVER.MAX_ITER", 0, "SOLVER.MAX_EPOCHS", 1e400], "MAX_EPOCHS is inf; expected a number above 0"),
        (["DATASETS.EVERY", 5.0], "DATASETS.EVERY is 5.0"),
        (["INPUT.REPEATS", 0], "INPUT.REPEATS is 0; expected a whole number from 1"),
        (["DATASETS.TRAIN", ("/nowhere/",)], "no file or folder at /nowhere/"),
        (["DATASETS.TRAIN", ()], "DATASETS.TRAIN is empty"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(words, message, config, images):
    words = [*([] if "DATASETS.TRAIN" in words else ["DATASETS.TRAIN", (images[0].path,)]), *words]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        PretrainingTask(config(*words)).train_dataset  # noqa: B018


def test_epochs_become_iterations(config):
    cfg = with_iterations(
        config("SOLVER.MAX_EPOCHS", 100.0, "SOLVER.WARMUP_EPOCHS", 10.0, "SOLVER.IMS_PER_BATCH", 8), 60
    )
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.WARMUP_ITERS) == (250, 25)  # 8 files with 3 crops each
    with pytest.raises(ValueError, match=r"all of\s+them warm-up, which takes 50"):
        with_iterations(config("SOLVER.MAX_EPOCHS", 10.0, "SOLVER.IMS_PER_BATCH", 8), 60)
    kept = with_iterations(config("SOLVER.MAX_EPOCHS", 100.0, "SOLVER.WARMUP_ITERS", 3, "SOLVER.IMS_PER_BATCH", 8), 60)
    assert kept.SOLVER.WARMUP_ITERS == 3
