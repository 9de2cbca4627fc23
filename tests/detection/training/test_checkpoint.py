from __future__ import annotations

import pytest
import torch

from hiera_det.config import load_config
from hiera_det.detection.model.detector import build_model
from hiera_det.engine.checkpoint import AtomicCheckpointIO
from hiera_det.weights.load import file_state_dict, load_state
from hiera_det.weights.source import last_checkpoint


def resume_from(run, checkpoint, **changes) -> None:
    """A folder whose last checkpoint is ``checkpoint`` with some entries changed."""
    run.folder.mkdir(parents=True)
    torch.save({**checkpoint, **changes}, run.folder / "model_0000002.pth")
    (run.folder / "last_checkpoint").write_text("model_0000002.pth")
    run("--resume")


@pytest.fixture(scope="module")
def halfway(trained) -> dict:
    return trained.checkpoint("model_0000002.pth")


def test_contents(trained, halfway):
    assert (halfway["iteration"], trained.checkpoint()["iteration"]) == (2, 5)
    assert halfway["seed"] == 7
    assert halfway["class_names"] == ["circle", "square", "triangle", "star"]
    assert halfway["category_ids"] == [1, 2, 3, 4]
    assert "state_dict" not in halfway
    names = halfway["model"].keys()
    assert {"backbone.bottom_up.pos_embed", "backbone.fpn_lateral2.weight"} <= names
    assert {"proposal_generator.rpn_head.conv.weight", "roi_heads.box_predictor.cls_score.weight"} <= names


def test_round_trip(config_file, trained):
    model = build_model(load_config(config_file))
    other = build_model(load_config(config_file))
    filed = file_state_dict(model)
    assert filed.keys() == trained.checkpoint()["model"].keys()
    load_state(other, filed, "the checkpoint")
    state = other.state_dict()
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path, writer = tmp_path / "model.pth", AtomicCheckpointIO()
    writer.save_checkpoint({"old": 1}, path)

    def cut_short(checkpoint, file):
        file.write(b"PK half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", cut_short)
        with pytest.raises(KeyboardInterrupt):
            writer.save_checkpoint({"new": 2}, path)
    assert torch.load(path, weights_only=True) == {"old": 1}
    writer.save_checkpoint({"new": 2}, path)
    assert torch.load(path, weights_only=True) == {"new": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["model.pth"]


def test_pointer(tmp_path):
    assert last_checkpoint(tmp_path) is None
    (tmp_path / "last_checkpoint").write_text("model_0000009.pth\n")
    with pytest.raises(FileNotFoundError, match=r"names model_0000009.pth, which is not there"):
        last_checkpoint(tmp_path)
    (tmp_path / "model_0000009.pth").touch()
    assert last_checkpoint(tmp_path) == tmp_path / "model_0000009.pth"


@pytest.mark.parametrize("content", [b"", b"no checkpoint", "cut"])
def test_unreadable(run, trained, content):
    run.folder.mkdir(parents=True)
    if content == "cut":
        content = (trained.folder / "model_final.pth").read_bytes()[:10_000]
    (run.folder / "model_0000002.pth").write_bytes(content)
    (run.folder / "last_checkpoint").write_text("model_0000002.pth")
    with pytest.raises(ValueError, match=rf"model_0000002.pth \({len(content)} bytes\) cannot be read"):
        run("--resume")


def test_weights_alone_cannot_be_resumed(run, halfway):
    run.folder.mkdir(parents=True)
    torch.save({"model": halfway["model"]}, run.folder / "weights.pth")
    (run.folder / "last_checkpoint").write_text("weights.pth")
    with pytest.raises(ValueError, match=r"weights.pth cannot be resumed from: it lacks \['epoch', .*'iteration', "):
        run("--resume")


def test_another_model(run, halfway):
    changed = dict(halfway["model"])
    name = "roi_heads.box_predictor.cls_score.weight"
    changed[name] = torch.zeros(81, 16)
    changed["roi_heads.extra"] = changed.pop("backbone.bottom_up.pos_embed")
    with pytest.raises(ValueError) as error:
        resume_from(run, halfway, model=changed)
    message = str(error.value)
    assert f"{name}: (81, 16) in the checkpoint, (5, 16) in the model" in message
    assert "missing: backbone.bottom_up.pos_embed" in message
    assert "unknown: roi_heads.extra" in message


def test_another_optimizer(run, halfway):
    groups = [{k: v for k, v in g.items() if k != "betas"} for g in halfway["optimizer_states"][0]["param_groups"]]
    with pytest.raises(ValueError, match=r"written with SOLVER.OPTIMIZER SGD, but the config says ADAMW"):
        resume_from(run, halfway, optimizer_states=[{**halfway["optimizer_states"][0], "param_groups": groups}])


def test_other_classes(run, halfway):
    with pytest.raises(ValueError, match=r"the checkpoint and .*different classes.* label 3: 'star' and 'triangle'"):
        resume_from(run, halfway, class_names=["circle", "square", "star", "triangle"])


def test_other_groups_of_parameters(run, halfway):
    run.folder.mkdir(parents=True)
    torch.save(halfway, run.folder / "model_0000002.pth")
    (run.folder / "last_checkpoint").write_text("model_0000002.pth")
    with pytest.raises(ValueError, match=r"optimizer has groups of \[.*LAYER_DECAY"):
        run("--resume", "MODEL.HIERA.LAYER_DECAY", "0.5")


def test_checkpoint_as_weights_of_a_new_run(run, trained):
    run("MODEL.WEIGHTS", str(trained.folder / "model_final.pth"), "SOLVER.MAX_ITER", "1", "DATASETS.TEST", "()")
    assert run.checkpoint()["iteration"] == 0
    assert run.losses != trained.losses[:1]  # other weights than those that the first run began with
