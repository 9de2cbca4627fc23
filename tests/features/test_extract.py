"""Whole runs of tools/extract_features.py: content, resume, ranks, errors."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from hiera_det.config import load_config
from hiera_det.features import batching, extract
from hiera_det.features.config import defaults
from hiera_det.features.load import load_extractor
from hiera_det.features.store.reader import Features, FeatureStore
from hiera_det.inputs.items import Item, Plan


def arguments(config, pictures, root) -> list[str]:
    return ["--config", str(config), "--input", str(pictures), "--output", str(root)]


def test_each_item_is_what_the_model_makes_of_it_alone(whole, config, pictures):
    store = FeatureStore(whole)
    assert store.complete and list(store) == [f"{i:03d}.png" for i in range(23) if i != 9]
    model = load_extractor(load_config(config, [], defaults()))
    for name, features in store.items():
        image = torch.from_numpy(np.array(Image.open(pictures / name)).transpose(2, 0, 1))
        alone = model([image], [torch.zeros(0, 4)])
        height, width = (-(-n // 32) for n in image.shape[1:])
        assert features["res5"].shape == (64, height, width)
        torch.testing.assert_close(features["res5"], alone.maps["res5"][0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(features["logits"], alone.vectors["logits"][0], rtol=1e-4, atol=1e-5)


def test_what_cannot_be_read_is_listed(whole, tool, config, pictures, tmp_path, capsys, contents):
    lines = (whole / "failed.csv").read_text().splitlines()
    assert len(lines) == 2 and lines[1].startswith("009.png,") and "cannot read image" in lines[1]
    for _ in range(2):  # also where an earlier run has passed over them
        with pytest.raises(ValueError, match=r"1 of 23 items could not be read \(--strict\); the rest is written"):
            tool.main([*arguments(config, pictures, tmp_path / "f"), "--strict"])
        assert FeatureStore(tmp_path / "f").complete
    tool.main(arguments(config, pictures, tmp_path / "f"))
    assert contents(tmp_path / "f") == contents(whole)
    assert f"22 items in {tmp_path / 'f'}, 1 could not be read" in capsys.readouterr().out


def test_decoding_processes_change_nothing(whole, tool, config, pictures, tmp_path, contents):
    tool.main([*arguments(config, pictures, tmp_path / "f"), "DATALOADER.NUM_WORKERS", "2"])
    assert contents(tmp_path / "f") == contents(whole)


def test_killed_runs_go_on(whole, config, pictures, tmp_path, start, contents):
    """SIGKILL at random moments behind a shard: nothing is lost, nothing done twice, and all bytes are the same."""
    root, done = tmp_path / "f", []
    for seed in range(2):
        run = start(*arguments(config, pictures, root))
        before = len(done)
        while len(done) <= before and run.poll() is None:
            done = sorted(root.glob("*[0-9].sha256"))
        time.sleep(random.Random(seed).uniform(0, 0.02))
        run.send_signal(signal.SIGKILL)
        run.communicate()
    assert 0 < len(done) < 6
    times = {path: path.stat().st_mtime_ns for path in done}
    run = start(*arguments(config, pictures, root))
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 0 and "shards are there, going on" in output
    assert contents(root) == contents(whole)
    assert {path: path.stat().st_mtime_ns for path in done} == times


@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_ranks_share_the_work(ranks, whole, config, pictures, tmp_path, start, contents):
    root = tmp_path / "f"
    if ranks == 3:  # going on where another number of ranks was stopped
        root.mkdir()
        for path in [*whole.glob("store.*"), *whole.glob("00001.*")]:
            (root / path.name).write_bytes(path.read_bytes())
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks))
    run = start(*arguments(config, pictures, root), launcher=launcher)
    output, _ = run.communicate(timeout=240)
    assert run.returncode == 0, output[-3000:]
    assert contents(root) == contents(whole)


DYING = """
import os, signal, sys
from hiera_det.cli import main
from hiera_det.features import extract

write = extract.write_shard
def write_and_die(root, part, *rest):
    write(root, part, *rest)
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
extract.write_shard = write_and_die
main.main(["extract", *sys.argv[1:]])
"""


@pytest.mark.slow
def test_a_dead_rank_ends_the_others(whole, config, pictures, tmp_path, start, contents):
    """Rank 0 waits at the end for rank 1, which is killed after its first shard: what is done is kept."""
    (tmp_path / "dying.py").write_text(DYING)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(tmp_path / "dying.py"), *arguments(config, pictures, tmp_path / "f")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    ours = done.stderr.partition("torch/distributed/elastic")[0]  # then torchrun's own account
    assert done.returncode != 0 and "Traceback" not in ours and ours.count("rank 1 of 2 on ") == 1, done.stderr
    run = start(*arguments(config, pictures, tmp_path / "f"))
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 0 and "shards are there, going on" in output
    assert contents(tmp_path / "f") == contents(whole)


@pytest.mark.slow
def test_a_small_shm_ends_the_run(config, tmp_path, small_shm):
    for i in range(8):
        Image.fromarray(np.zeros((512, 512, 3), np.uint8)).save(tmp_path / f"{i}.png")
    words = ["DATALOADER.NUM_WORKERS", "2", "INPUT.RESIZE", "none"]
    command = [sys.executable, "-m", "hiera_det", "extract", *arguments(config, tmp_path, tmp_path / "f"), *words]
    done = subprocess.run([*small_shm("1m"), *command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "--shm-size 8g), or set DATALOADER.NUM_WORKERS 0" in done.stderr.splitlines()[-1]


def test_an_error_on_rank_0_ends_all_ranks(config, pictures, tmp_path, start):
    (tmp_path / "diary.txt").write_text("something else")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    run = start(*arguments(config, pictures, tmp_path), launcher=launcher)
    output, _ = run.communicate(timeout=240)
    assert run.returncode != 0 and output.count("is not empty and no store of features") >= 2
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_another_config_is_refused(whole, tool, config, pictures, contents):
    before = contents(whole)
    with pytest.raises(ValueError, match=r"FEATURES\.DTYPE: store has fp32, this run fp16"):
        tool.main([*arguments(config, pictures, whole), "FEATURES.DTYPE", "fp16"])
    with pytest.raises(ValueError, match="items: store has 23, this run 1"):
        tool.main(arguments(config, pictures / "000.png", whole))
    assert contents(whole) == before


def test_verify(whole, tool, tmp_path, capsys, contents):
    tool.main(["--output", str(whole), "--verify"])
    assert capsys.readouterr().out == f"{whole}: sound\n"
    for name, content in contents(whole).items():
        (tmp_path / name).write_bytes(content)
    flipped = bytearray((tmp_path / "00002.safetensors").read_bytes())
    flipped[-1] ^= 1
    (tmp_path / "00002.safetensors").write_bytes(flipped)
    with pytest.raises(SystemExit) as end:
        tool.main(["--output", str(tmp_path), "--verify"])
    assert end.value.code == 1 and "00002.safetensors" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_half_precision_stores(kind, dtype, tool, config, pictures, tmp_path, whole):
    tool.main([*arguments(config, pictures, tmp_path / "f"), "FEATURES.DTYPE", kind])
    ours, exact = FeatureStore(tmp_path / "f")["000.png"], FeatureStore(whole)["000.png"]
    assert torch.equal(ours["res4"], exact["res4"].to(dtype))
    assert torch.equal(ours["mean"].to(dtype), exact["mean"].to(dtype))


def test_two_shards_in_memory_at_most(monkeypatch, config):
    """One is written while the next is computed."""
    cfg = load_config(config, [], defaults())
    alive: list[weakref.ref] = []
    held: list[int] = []

    class Counted(Features):
        def __init__(self, *values):
            super().__init__(*values)
            alive.append(weakref.ref(self))

    def write(root, part, features, failed):
        end = time.monotonic() + 10
        while len(alive) < min(6 * part + 12, 60) and time.monotonic() < end:  # until the next shard is computed
            time.sleep(0.001)
        held.append(sum(reference() is not None for reference in alive))

    monkeypatch.setattr(batching, "read_item", lambda item, **_: np.zeros((32, 32, 3), np.uint8))
    monkeypatch.setattr(extract, "Features", Counted)
    monkeypatch.setattr(extract, "write_shard", write)
    plan = Plan([Item(str(i), "nowhere") for i in range(60)], 6)
    extract.extract_parts(load_extractor(cfg), plan, range(len(plan)), "nowhere", cfg)
    assert len(alive) == 60 and held == [12] * 9 + [6]


def test_an_error_of_writing_ends_the_run(monkeypatch, config, pictures, tool, tmp_path, whole, contents):
    write = extract.write_shard

    def full(root, part, features, failed):
        if part == 3:
            raise OSError("no space left")
        write(root, part, features, failed)

    monkeypatch.setattr(extract, "write_shard", full)
    with pytest.raises(OSError, match="no space left"):
        tool.main(arguments(config, pictures, tmp_path / "f"))
    left = contents(tmp_path / "f")
    assert {"00000.sha256", "00001.sha256", "00002.sha256"} <= set(left) and "00003.sha256" not in left
    assert left.items() <= contents(whole).items()


def test_odd_inputs_end_no_run(tool, config, tmp_path, monkeypatch, caplog, capsys):
    """A pipe and a file of another format fail, a folder that cannot be listed is left out; the rest is there."""
    root = tmp_path / "in"
    (root / "locked").mkdir(parents=True)
    deep = np.linspace(0, 4095, 32 * 32).reshape(32, 32).astype(np.uint16)
    Image.fromarray(deep).save(root / "deep.png")
    Image.fromarray((deep >> 4).astype(np.uint8)).save(root / "plain.png")
    (root / "postscript.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%EOF")
    os.mkfifo(root / "pipe.jpg")
    scandir = os.scandir

    def refuse(path="."):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    words = [*arguments(config, root, tmp_path / "f"), "INPUT.PIXEL_RANGE", "[0, 4095]"]
    with pytest.raises(
        ValueError, match=r"2 of 4 items and 1 inputs, such as: folder .*locked cannot be read.*--strict"
    ):
        tool.main([*words, "--strict"])
    tool.main(words)
    assert "folder " in caplog.text and "locked cannot be read: Permission denied" in caplog.text
    assert "2 items in" in capsys.readouterr().out
    store = FeatureStore(tmp_path / "f")
    assert set(store) == {"deep.png", "plain.png"}
    torch.testing.assert_close(store["deep.png"]["res5"], store["plain.png"]["res5"])
    failed = (tmp_path / "f" / "failed.csv").read_text()
    assert "it is a named pipe" in failed and "of the format EPS" in failed
