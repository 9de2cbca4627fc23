"""Folders as sources of weights, and the files that stand beside weights."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from hiera_det.hiera.model import build_hiera
from hiera_det.weights import hub as hub_files
from hiera_det.weights.config_json import check_published
from hiera_det.weights.source import file_beside, local_file
from hiera_det.weights.variant import input_size_of


def test_a_folder_of_weights(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"folder .* has none of model\.safetensors, pytorch_model\.bin"):
        local_file(str(tmp_path))
    (tmp_path / "pytorch_model.bin").touch()
    assert local_file(str(tmp_path)) == tmp_path / "pytorch_model.bin"
    (tmp_path / "model.safetensors").touch()
    assert local_file(str(tmp_path)) == tmp_path / "model.safetensors"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no weights file at"):
        local_file("")


def test_files_beside_local_weights(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").touch()
    assert file_beside(str(tmp_path), "config.json") is None
    (tmp_path / "config.json").touch()
    for name in (tmp_path, tmp_path / "model.safetensors", f"hiera://{tmp_path}"):
        assert file_beside(str(name), "config.json") == tmp_path / "config.json"
    monkeypatch.chdir(tmp_path)  # what lies in the working folder does not stand beside published weights
    for name in ("hiera_base_224.mae_in1k", "hiera_base_224.pth", "https://example.org/model.safetensors"):
        assert file_beside(name, "config.json") is None


@pytest.fixture
def hub(monkeypatch):
    """Records what is asked of the hub, which has ``config.json`` and ``weights/config.json`` in every repository."""
    asked = []

    def download(repository: str, file: str, *, revision: str | None, local_files_only: bool) -> str:
        asked.append((repository, file, revision))
        if not file.endswith("config.json") or "preprocessor" in file:
            raise EntryNotFoundError("no such entry")
        return f"/cache/{file}"

    monkeypatch.setattr(hub_files, "hf_hub_download", download)
    return asked


def test_files_beside_weights_of_the_hub(hub):
    assert file_beside("hf://a/b", "config.json") == Path("/cache/config.json")
    assert file_beside("hf://a/b@v1/weights/x.pth", "config.json") == Path("/cache/weights/config.json")
    assert file_beside("hf://a/b", "preprocessor_config.json") is None
    assert hub == [
        ("a/b", "config.json", None),
        ("a/b", "weights/config.json", "v1"),
        ("a/b", "preprocessor_config.json", None),
    ]


def test_a_hub_that_cannot_be_asked(monkeypatch, caplog):
    def download(*_, **__):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(hub_files, "hf_hub_download", download)
    with caplog.at_level(logging.WARNING):
        assert file_beside("hf://a/b", "config.json") is None
    assert "going on without config.json of the weights: hf://a/b is neither in the cache" in caplog.text


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("hiera_tiny_224", (224, 224)),
        ("hiera_large_224", (448, 448)),
        ("hiera_base_16x224", (16, 224, 224)),
        ("hiera_base_plus_16x224", (32, 288, 288)),
    ],
)
def test_the_input_size_of_weights(name, size):
    with torch.device("meta"):
        assert input_size_of(build_hiera(name, input_size=size).state_dict(), "x") == size
        parts = build_hiera(name, input_size=size, pos_embed="absolute_win").state_dict()
    assert input_size_of(parts, "x") == (*size[:-2], 224, 224)


def test_an_embedding_that_is_not_square():
    with torch.device("meta"):
        state = build_hiera("hiera_tiny_224", input_size=(224, 448)).state_dict()
    with pytest.raises(ValueError, match="x: a position embedding of 6272 tokens is not square"):
        input_size_of(state, "x")


@pytest.mark.parametrize(
    "wrong",
    [{"name": []}, {"input_size": "abc"}, {"input_size": 3}, {"patch_stride": [0, 0]}, {"patch_stride": [True]}],
)
def test_a_config_of_another_form(wrong):
    with pytest.raises(ValueError, match=r"x\.pth: .* in the config\.json beside it is .*, expected"):
        check_published({"embed_dim": 96, **wrong}, "hiera_base_224", "x.pth")
