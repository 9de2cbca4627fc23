"""Two processes on the CPU, under torchrun."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest
import torch

from hiera_det.engine.evaluation import _check_complete

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="torchrun with gloo")


def torchrun(run, environment, *arguments: str) -> subprocess.CompletedProcess:
    _, *script = run.command(*arguments)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_two_processes(run, new_run, environment):
    finished = torchrun(
        run, environment, "SEED", "-1", "SOLVER.MAX_ITER", "3", "TEST.EVAL_PERIOD", "3", "VIS_PERIOD", "2"
    )
    assert finished.returncode == 0, finished.stderr
    assert len(run.losses) == 3
    # The evaluation after the last step, shared by two ranks, is that of one process.
    alone = new_run()
    alone("--eval-only", "MODEL.WEIGHTS", str(run.folder / "model_final.pth"))
    both, one = (json.loads((it.folder / "inference" / "metrics.json").read_text()) for it in (run, alone))
    assert both == one
    # So are its detections: the ranks have stepped to the same weights, of which one has written its own.
    results = [json.loads((it.folder / "inference" / "coco_instances_results.json").read_text()) for it in (run, alone)]
    assert results[0] == results[1]
    assert {result["image_id"] for result in results[0]} == {1, 2, 3, 4, 5}
    # Resumed by one process: half of the images each become all of them.
    run("--resume", "SOLVER.MAX_ITER", "4", "DATASETS.TEST", "()")
    assert len(run.losses) == 4


def test_two_machines(run, environment):
    """Lightning's own launch, both machines being this one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            run.command("--num-machines", "2", "--machine-rank", str(rank), "--dist-url", url, "SOLVER.MAX_ITER", "2"),
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], errors
    assert len(run.losses) == 2
    assert run.log.count("saved") == 1
    assert run.log.count("evaluating on shapes_val: 5 images") == 1
    assert len(json.loads((run.folder / "inference" / "metrics.json").read_text())["bbox"]) > 6


@pytest.mark.parametrize("flags", [[], ["--eval-only"]])
def test_fewer_test_images_than_processes(run, trained, monkeypatch, flags):
    """Every rank says so before it waits for the others; this is one of six under torchrun."""
    torchrun = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "6", "RANK": "0", "LOCAL_RANK": "0"}
    for name, value in torchrun.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: pytest.fail("it waits for others"))
    with pytest.raises(ValueError, match=r"the test set has 5 items for 6 processes.*start fewer"):
        run(*flags, "MODEL.WEIGHTS", str(trained.folder / "model_final.pth"), "SOLVER.IMS_PER_BATCH", "6")
    assert not (run.folder / "metrics.json").exists()


def test_lost_and_repeated_images_are_noticed():
    _check_complete([2, 1], [1, 2])
    with pytest.raises(RuntimeError, match=r"1 lost \(such as \[3\]\), 1 too many \(such as \[1\]\)"):
        _check_complete([1, 1, 2], [1, 2, 3])
