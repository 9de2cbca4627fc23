"""Files that are cut short, hold something else, or would run code."""

from __future__ import annotations

import os
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hiera_det import HieraBackbone, load_weights
from hiera_det.weights.read import read_checkpoint, state_dict_of

TINY = {"embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1), "global_blocks": ()}


class Command:
    """What a pickle runs when it is read carelessly."""

    def __init__(self, witness) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.witness}",)


@pytest.mark.parametrize("name", ["x.pth", "x.pt", "x.bin", "x.pkl", "old.pth"])
def test_nothing_is_run(name, tmp_path):
    path, witness = tmp_path / name, tmp_path / "witness"
    state = {"model": {"patch_embed.proj.weight": torch.zeros(2).numpy()}, "x": Command(witness)}
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(state))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=name != "old.pth")
    with pytest.raises(ValueError, match=rf"{name}.*(holds other objects|names \w+\.system)"):
        load_weights(HieraBackbone("hiera_tiny_224", **TINY), str(path))
    assert not witness.exists()
    torch.load(path, weights_only=False) if path.suffix != ".pkl" else pickle.loads(path.read_bytes())
    assert witness.exists()  # it is a hostile file


def test_the_reason_has_no_advice_to_run_it(tmp_path):
    torch.save({"model": Fraction(1, 2)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"holds other objects \(.*fractions\.Fraction") as caught:
        read_checkpoint(tmp_path / "x.pth")
    assert not re.search("(?i)weights.only|safe_globals|likely succeed", str(caught.value))


@pytest.mark.parametrize("name", ["x.pth", "old.pth", "x.pkl", "x.safetensors", "X.PKL", "X.SafeTensors"])
def test_cut_short_anywhere(name, tmp_path):
    path = tmp_path / name
    state = {f"blocks.{i}.weight": torch.randn(5, 7) for i in range(3)}
    if path.suffix.lower() == ".safetensors":
        save_file(state, path)
    elif path.suffix.lower() == ".pkl":
        path.write_bytes(pickle.dumps({key: value.numpy() for key, value in state.items()}))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=name != "old.pth")
    assert all(torch.equal(value, state[key]) for key, value in read_checkpoint(path).items())
    whole = path.read_bytes()
    for size in {0, 1, 7, len(whole) - 1, *range(10, len(whole), 97)}:
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=rf"{name}.*(truncated|is not a pickle)"):
            read_checkpoint(path)


@pytest.mark.parametrize("protocol", [2, 5])  # by 5 foreign byte orders stay as they are
def test_arrays_become_tensors(protocol, tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.array(3), "c": np.arange(3, dtype=">f4")}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "x"}, protocol))
    state = state_dict_of(read_checkpoint(tmp_path / "x.pkl"), "x.pkl")
    assert state.keys() == arrays.keys()
    for key, value in arrays.items():
        np.testing.assert_array_equal(state[key].numpy(), value)
        assert state[key].shape == value.shape


@pytest.mark.parametrize("array", [np.array([1, None], dtype=object), np.array(["a"])], ids=["objects", "strings"])
def test_arrays_of_something_else(array, tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"model": {"blocks.0.norm1.weight": array}}))
    with pytest.raises(
        ValueError, match=r"x\.pkl: model: blocks\.0\.norm1\.weight is an array of .*, expected numbers"
    ):
        read_checkpoint(tmp_path / "x.pkl")


def test_what_is_no_state_dict(tmp_path):
    path = tmp_path / "x.pth"
    for content, message in (
        ([1], "holds a list, expected a dict with tensors"),
        ({"model": torch.zeros(2)}, "'model' is a Tensor, expected a dict of tensors"),
    ):
        torch.save(content, path)
        with pytest.raises(ValueError, match=message):
            read_checkpoint(path)
    with pytest.raises(ValueError, match=r"x\.pth has the keys \['epoch'\]; expected a state dict, by itself or under"):
        state_dict_of({"epoch": 3}, "x.pth")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "nowhere.pth")


def test_a_dict_that_holds_itself(tmp_path):
    state: dict = {}
    state["model"] = state
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(state))
    with pytest.raises(ValueError, match=r"x\.pkl is not a pickle .*: a dict in it holds itself"):
        read_checkpoint(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    "key, shown",
    [
        (3, "3"),
        ("a\nb", r"'a\\nb'"),
        ("\x1b[2J", r"'\\x1b\[2J'"),
        ("\ud800", r"'\\ud800'"),
        ("x" * 10**6, r"'x+\.\.\.x+'"),
    ],
    ids=["number", "lines", "control", "surrogate", "long"],
)
def test_tensors_have_names(key, shown, tmp_path):
    torch.save({"model": {"b": torch.zeros(2), key: torch.zeros(2)}}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=rf"^x\.pth: a tensor has the key {shown}, expected names$"):
        state_dict_of(read_checkpoint(tmp_path / "x.pth"), "x.pth")


@pytest.mark.parametrize("key", ["a\nb", "\x1b[2J", "\ud800", "x" * 10**6])
def test_other_keys_are_shown_in_one_line(key, tmp_path):
    torch.save({key: 3}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="expected a state dict") as caught:
        state_dict_of(read_checkpoint(tmp_path / "x.pth"), "x.pth")
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "tensor, name",
    [
        (torch.zeros(2, 2).to_sparse(), "_rebuild_sparse_tensor"),
        (torch.zeros(2, device="meta"), "_rebuild_meta_tensor_no_storage"),
    ],
    ids=["sparse", "meta"],
)
def test_tensors_are_dense(tensor, name, tmp_path):
    torch.save({"model": {"b": torch.zeros(2), "a": tensor}}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=rf"x\.pth .* holds other objects \(it names torch\._utils\.{name}"):
        read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("name", ["x.pth", "x.pkl", "x.safetensors"])
def test_what_is_no_file(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(OSError, match=rf"{name}: it is a named pipe, expected a file"):
        read_checkpoint(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(OSError, match=rf"{name}: it is a folder, expected a file"):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize("key", ["model_state", "model", "state_dict", ""])
def test_where_state_dicts_stand(key, tmp_path):
    state = {"a": torch.ones(2)}
    torch.save({key: state, "epoch": 3} if key else state, tmp_path / "x.pth")
    assert torch.equal(state_dict_of(read_checkpoint(tmp_path / "x.pth"), "")["a"], state["a"])
