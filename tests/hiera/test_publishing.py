"""Folders and repositories of the hub: ours, the original's, and each read by the other."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.hub_mixin
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from torch import nn

from hiera_det import Hiera, HieraBackbone, build_hiera
from hiera_det.hiera.variants import VARIANTS, variant_arguments
from tests.utils.full_disk import files_of_at_most

SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1)}
SIZE = {"hiera_tiny_224": (224, 224), "hiera_base_16x224": (16, 224, 224)}


@pytest.fixture
def original():
    return pytest.importorskip("hiera", reason="pip install hiera-transformer")


def small(redraw, name="hiera_tiny_224", **overrides) -> Hiera:
    model = build_hiera(name, **{**SMALL, "num_classes": 7, **overrides})
    redraw(model)
    return model.eval()


def test_a_folder_gives_the_same_model(redraw, tmp_path):
    arguments = {"layout": "windowed", "global_blocks": (2,), "window_sizes": (8, 4, 6, 3), "pos_embed": "absolute_win"}
    model = small(redraw, **arguments, pos_embed_size=(7, 7), drop_path_rate=0.1, head_dropout=0.2)
    model.save_pretrained(tmp_path)
    read = Hiera.from_pretrained(tmp_path)
    assert not read.training
    assert read.layout == "windowed" and read.block_windows == model.block_windows
    assert read.head.dropout.p == 0.2 and read.blocks[-1].drop_path.p == pytest.approx(0.1)
    x = torch.randn(1, 3, 64, 96)
    assert torch.equal(read(x), model(x))
    read.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() == (tmp_path / "config.json").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "again", "config.json", "model.safetensors"]


def test_arguments_take_the_place_of_the_configs(redraw, tmp_path):
    small(redraw).save_pretrained(tmp_path)
    model = Hiera.from_pretrained(tmp_path, layout="windowed", pos_embed="absolute_win", global_blocks=(2,))
    assert model.layout == "windowed" and model.pos_embed_kind == "absolute_win"


@pytest.mark.parametrize("name", SIZE)
@pytest.mark.parametrize("as_published", [True, False])  # all arguments in the config, or those given
def test_what_the_original_writes_is_read(redraw, relative_error, original, tmp_path, name, as_published):
    arguments = variant_arguments(name) | SMALL | {"num_classes": 7, "norm_layer": "LayerNorm"}
    arguments.pop("global_blocks")
    theirs = original.Hiera(**arguments)
    redraw(theirs)
    theirs.eval().save_pretrained(tmp_path, **({"config": theirs.config} if as_published else {}))
    x = torch.randn(1, 3, *SIZE[name])
    assert relative_error(Hiera.from_pretrained(tmp_path)(x), theirs(x)) < 1e-5


@pytest.mark.parametrize("name", SIZE)
def test_the_original_reads_what_is_written(redraw, relative_error, original, tmp_path, name):
    model = small(redraw, name)
    model.save_pretrained(tmp_path)
    theirs = original.Hiera.from_pretrained(tmp_path, strict=True)
    x = torch.randn(1, 3, *SIZE[name])
    assert relative_error(theirs(x), model(x)) < 1e-5


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_has_a_config_that_both_understand(original, tmp_path, monkeypatch, name):
    written = {}
    for init in "trunc_normal_", "kaiming_uniform_":  # slow, and of no matter
        monkeypatch.setattr(nn.init, init, lambda tensor, **_: tensor)
    linspace = torch.linspace  # the original reads its values
    monkeypatch.setattr(torch, "linspace", lambda *a, **_: linspace(*a, device="cpu"))
    monkeypatch.setattr(Hiera, "_save_pretrained", lambda self, folder: written.update(self.state_dict()))
    with torch.device("meta"):
        build_hiera(name).save_pretrained(tmp_path)
        arguments = json.loads((tmp_path / "config.json").read_text())
        for model in Hiera(**arguments), original.Hiera(**arguments):
            state = model.state_dict()
            assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in written.items()}


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_other_tensors_are_an_error_unless_asked_for(redraw, tmp_path, change):
    small(redraw).save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    if change == "missing":
        del state["norm.bias"]
    else:
        state["decoder_norm.bias"] = torch.zeros(1)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(RuntimeError, match=r"norm\.bias"):
        Hiera.from_pretrained(tmp_path)
    Hiera.from_pretrained(tmp_path, strict=False)


def test_a_folder_of_transformers_is_refused_with_the_way_to_load_it(redraw, tmp_path):
    small(redraw).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["HieraForImageClassification"], "depths": [1, 2, 7, 2]}')
    with pytest.raises(ValueError, match=r"does not describe a Hiera .*'architectures'.*load_weights\(model, "):
        Hiera.from_pretrained(tmp_path)


def test_what_json_cannot_hold_is_not_left_out_silently(tmp_path):
    model = Hiera(**SMALL, norm_layer=lambda dim: nn.LayerNorm(dim, eps=1e-3))
    with pytest.raises(
        ValueError, match=r'config\.json cannot hold the arguments norm_layer .* norm_layer="LayerNorm"'
    ):
        model.save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_head_replaced_later_is_not_published_under_the_old_arguments(redraw, tmp_path):
    model = small(redraw)
    model.save_pretrained(tmp_path)
    model.head.projection = nn.Linear(128, 3)
    with pytest.raises(ValueError, match=r"(?s)build it with .*head\.projection\.bias: \(3,\) in the model, \(7,\) by"):
        model.save_pretrained(tmp_path)
    assert Hiera.from_pretrained(tmp_path).head.projection.out_features == 7  # what was there stays


def test_all_files_may_be_read_by_the_same_people(redraw, tmp_path):
    small(redraw).save_pretrained(tmp_path)
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_a_full_disk_is_an_os_error_and_leaves_what_was_there(redraw, tmp_path):
    model = small(redraw)
    model.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    with files_of_at_most(10_000), pytest.raises(OSError, match="File too large"):
        model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert not list(tmp_path.glob("tmp*"))


def test_another_licence_is_written_into_the_card_that_is_there(redraw, tmp_path):
    model, path = small(redraw), tmp_path / "README.md"
    model.save_pretrained(tmp_path, model_card_kwargs={"license": "mit"})
    path.write_text(path.read_text() + "\nOf the user.\n")
    model.save_pretrained(tmp_path)
    assert ModelCard.load(path).data.license == "mit"
    model.save_pretrained(tmp_path, model_card_kwargs={"license": "apache-2.0"})
    card = ModelCard.load(path)
    assert card.data.license == "apache-2.0" and card.data.library_name == "hiera_det" and "Of the user." in card.text


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_files_of_a_folder_that_are_missing_or_cut(redraw, tmp_path, name):
    small(redraw).save_pretrained(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"{name} of {tmp_path} .*truncated"):
        Hiera.from_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"folder {tmp_path} has no {name}; expected what save_pretrained"):
        Hiera.from_pretrained(tmp_path)


def test_a_repository_that_cannot_be_had(tmp_path):
    command = r"hf download owner/name config\.json model\.safetensors --revision v1"
    with pytest.raises(FileNotFoundError, match=rf"owner/name is neither in the cache nor .*{command}"):
        Hiera.from_pretrained("owner/name", revision="v1", local_files_only=True, cache_dir=tmp_path)
    with pytest.raises(ValueError, match=r"no/such/folder is no folder that is there; expected one, or owner/name"):
        Hiera.from_pretrained("no/such/folder")


def test_a_copy_is_written_as_well(redraw, tmp_path):
    model = small(redraw)
    deepcopy(model).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["embed_dim"] == 16


def test_a_backbone_is_published_likewise(tmp_path):
    model = HieraBackbone("hiera_tiny_224", ["res4", "res3"], out_norm=True, freeze_at=1, **SMALL, global_blocks=(2,))
    model.eval().save_pretrained(tmp_path)
    read = HieraBackbone.from_pretrained(tmp_path)
    assert read.out_features == ("res3", "res4") and not read.patch_embed.proj.weight.requires_grad
    x = torch.randn(1, 3, 64, 96)
    for name, m in model(x).items():
        assert torch.equal(read(x)[name], m)
    assert "HieraBackbone.from_pretrained" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    "name, licence, task",
    [("hiera_tiny_224", None, "image-classification"), ("hiera_base_16x224", "apache-2.0", "video-classification")],
)
def test_the_card(redraw, tmp_path, name, licence, task):
    small(redraw, name).save_pretrained(tmp_path, model_card_kwargs={"license": licence} if licence else None)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "hiera_det" and card.data.pipeline_tag == task
    assert card.data.license == licence  # none unless given: SAM 2's or new weights are not the original's
    assert {"hiera", "pytorch_model_hub_mixin"} <= set(card.data.tags)
    assert "https://github.com/facebookresearch/hiera" in card.text and "Hiera.from_pretrained" in card.text


def test_push_to_hub_uploads_one_whole_folder(redraw, monkeypatch):
    model = small(redraw)
    uploaded: dict = {}

    class FakeHub:
        def __init__(self, token=None):
            uploaded["token"] = token

        def create_repo(self, repo_id, **_):
            return SimpleNamespace(repo_id=repo_id)

        def upload_folder(self, *, repo_id, folder_path, **_):
            read = Hiera.from_pretrained(folder_path)
            uploaded.update(repo=repo_id, files=sorted(p.name for p in Path(folder_path).iterdir()), model=read)
            return "https://hub/commit"

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", FakeHub)
    assert model.push_to_hub("owner/name", token="of the user") == "https://hub/commit"
    assert uploaded["files"] == ["README.md", "config.json", "model.safetensors"]
    assert (uploaded["repo"], uploaded["token"]) == ("owner/name", "of the user")
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(uploaded["model"](x), model(x))
