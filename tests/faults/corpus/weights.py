"""Weights as torch.save writes them, damaged and hostile, through `info` and `convert`."""

from __future__ import annotations

import argparse
import builtins
import functools
import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.faults.case import Case, copy, put
from tests.faults.corpus.bytes_of import flipped, no_files, strangers, truncated
from tests.faults.corpus.torch_files import Called, Stored, archive, bomb, crafted, legacy, rezipped, saved, tensor
from tests.faults.material import Material

__all__ = ["cases"]

_INFO = ("info", "x.pth")
_CONVERT = ("convert", "x.pth", "out.pth", "--to", "original")
_NAME = "blocks.0.norm1.weight"


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    data = good.classifier.read_bytes()
    values = good.made("weights", lambda folder: _write(good.classifier, folder))
    old = (values / "legacy.pth").read_bytes()
    for loader, words in (("info", _INFO), ("convert", _CONVERT)):
        yield Case(f"good_{loader}", words, put("x.pth", data), good=True)
        for name, content in strangers():
            yield Case(f"{loader}_{name}", words, put("x.pth", content), refused=True)
        for name, write in no_files("x.pth"):
            yield Case(f"{loader}_{name}", words, write, refused=True)
        for name, content in truncated(data, 16):
            yield Case(f"{loader}_{name}", words, put("x.pth", content), refused=True)
        for name, content in flipped(data, 12, seed=len(loader)):
            yield Case(f"{loader}_{name}", words, put("x.pth", content))
        for path in sorted(values.iterdir()):
            yield Case(f"{loader}_{path.stem}", words, copy(path, "x.pth"), refused="object" in path.stem)
        for name, content in truncated(old, 12):
            yield Case(f"{loader}_legacy_{name}", words, put("x.pth", content), refused=True)
        for name, content in flipped(old, 15, within=4000, seed=len(loader)):
            yield Case(f"{loader}_legacy_{name}", words, put("x.pth", content))
        yield Case(f"{loader}_deflated", words, put("x.pth", rezipped(data)))
        yield Case(f"{loader}_bomb", words, lambda folder: bomb(folder / "x.pth", 2), refused=True)
        yield Case(f"{loader}_bomb_large", words, lambda folder: bomb(folder / "x.pth", 4), refused=True, slow=True)


def _write(classifier: Path, folder: Path) -> None:
    """Write what torch has to make to a folder; torch's threads would not live on in forks."""
    state = torch.load(classifier, weights_only=True)["model_state"]
    folder.mkdir()
    for name, value in {"legacy": legacy({"model_state": state}), **_values(state)}.items():
        (folder / f"{name}.pth").write_bytes(value)


def _values(state: dict[str, torch.Tensor]) -> dict[str, bytes]:
    first = next(iter(state))
    one = torch.ones(4)

    def with_it(value: Any, key: Any = first) -> bytes:
        return saved({"model_state": {**state, key: value}})

    tensors = {
        "nan": state[first] * float("nan"),
        "infinite": state[first] / 0,
        "bool": state[first].bool(),
        "integers": state[first].long(),
        "complex": state[first].to(torch.complex64),
        "float8": state[first].to(torch.float8_e4m3fn),
        "bfloat16": state[first].bfloat16(),
        "no_numbers": torch.zeros(0),
        "single": torch.tensor(1.0),
        "nine_dimensions": torch.zeros([1] * 9),
        "other_shape": torch.zeros(7, 11),
        "sparse": torch.eye(4).to_sparse(),
        "sparse_csr": torch.eye(4).to_sparse_csr(),
        "meta": torch.zeros(3, device="meta"),
        "meta_huge": torch.empty(1 << 40, device="meta"),
        "quantized": torch.quantize_per_tensor(one, 0.1, 0, torch.quint8),
        "parameter": torch.nn.Parameter(one),
        "expanded": torch.zeros(1).expand(120_000, 120_000),
        "expanded_half": torch.zeros(1, dtype=torch.float16).expand(1 << 34),
        "expanded_like": torch.zeros(1).expand(2**31, *state[first].shape[:1]),
        "list": [1, 2, 3],
        "text": "x",
        "none": None,
        "array": None,
        "huge_integer": 10**400,
    }
    found = {f"tensor_{name}": with_it(value) for name, value in tensors.items()}
    found["legacy_expanded"] = legacy({"model_state": {**state, first: tensors["expanded"]}})
    found["backbone_expanded"] = saved({k: v[:1].expand(2**31, *v.shape[1:]) for k, v in state.items() if v.ndim})
    keys = {"number": 1, "tuple": (1, 2), "none": None, "surrogate": "\ud800", "nul": "a\0b", "escape": "\x1b[2J\r"}
    keys |= {"long": "x" * 1_000_000, "empty": "", "path": "../../x", "bytes": b"x"}
    found |= {f"key_{name}": with_it(one, key) for name, key in keys.items()}
    found["many_keys"] = saved({f"x{number}": one for number in range(20_000)})
    found |= {f"crafted_{name}": value for name, value in _crafted(state).items()}
    found |= {f"object_{name}": crafted({"model_state": value}) for name, value in _objects().items()}
    return found


def _crafted(state: dict[str, torch.Tensor]) -> dict[str, bytes]:
    """Pickles that torch.save would not write."""
    sizes: dict[str, Any] = {
        "zero_stride": ((2**33, 4), (0, 1)),
        "negative_size": ((-1,), (1,)),
        "huge_size": ((2**62, 2**62), (1, 1)),
        "size_overflow": ((2**32, 2**32), (2**32, 1)),
        "negative_stride": ((2,), (-1,)),
        "beyond": ((1000,), (1,)),
        "text_size": (("x",), (1,)),
        "long_size": ((10**400,), (1,)),
        "many_dimensions": ((1,) * 1000, (1,) * 1000),
        "no_stride": ((2, 2), ()),
    }
    found = {name: crafted({"model_state": {_NAME: tensor(*shape)}}) for name, shape in sizes.items()}
    stored = {
        "absent": Stored(key="9"),
        "path": Stored(key="../../../etc/passwd"),
        "lies": Stored(10**12),
        "negative": Stored(-4),
        "long": Stored(10**400),
        "cuda": Stored(place="cuda:99"),
        "meta": Stored(place="meta"),
        "no_place": Stored(place="nowhere"),
        "half": Stored(kind=torch.HalfStorage),
        "class": Stored(kind=OrderedDict),
        "untyped": Stored(kind=torch.UntypedStorage),
        "number_key": Stored(key=0),
    }
    found |= {
        f"storage_{name}": crafted({"model_state": {_NAME: tensor((4,), (1,), stored=it)}})
        for name, it in stored.items()
    }
    found["offset"] = crafted({"model_state": {_NAME: tensor((4,), (1,), 10**15)}})
    cycle: dict[str, Any] = {}
    cycle["model_state"] = cycle
    values = {"cycle": cycle, "list": [], "text": "x", "none": None, "empty": {}, "state_list": {"model_state": [1]}}
    values |= {"state_none": {"model_state": None}, "state_empty": {"model": {}}, "set": {1, 2}, "long": 10**5000}
    found |= {name: crafted(value) for name, value in values.items()}
    found["deep"] = archive(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")
    found["deep_dicts"] = archive(b"\x80\x02}" + b"U\x01a}" * 100_000 + b"s" * 100_000 + b".")
    found["deep_state"] = archive(b"\x80\x02}U\x05model}" + b"U\x01a}" * 5000 + b"s" * 5000 + b"s.")
    laughs = b"]" + b"".join(b"q%c](h%ch%ch%ch%ce" % ((n,) * 5) for n in range(60))
    found["laughs"] = archive(b"\x80\x02" + laughs + b".")
    found["no_pickle"] = _zip({"archive/version": b"3\n"})
    found["empty_zip"] = _zip({})
    found["script"] = _zip({"x/data.pkl": b"\x80\x02}.", "x/constants.pkl": b"\x80\x02).", "x/code/x.py": b"import os"})
    found["many_entries"] = _zip({f"archive/data/{number}": b"" for number in range(20_000)})
    found["entry_twice"] = rezipped(saved(state), zipfile.ZIP_STORED).replace(b"archive/version", b"archive/data/00")
    found["bzip"] = rezipped(saved(state), zipfile.ZIP_BZIP2)
    found["old_tar"] = _tar({"pickle": b"\x80\x02}.", "storages": b"\x80\x02K\x01.", "tensors": b"\x80\x02K\x00."})
    return found


def _objects() -> dict[str, Any]:
    """What must be neither imported nor called."""
    shell = "touch called"
    return {
        "system": Called(os.system, shell),
        "popen": Called(os.popen, shell),
        "eval": Called(builtins.eval, "open('called', 'w')"),
        "exec": Called(builtins.exec, "open('called', 'w')"),
        "open": Called(builtins.open, "called", "w"),
        "getattr": Called(builtins.getattr, Called(__import__, "os"), "system"),
        "import": Called(__import__, "antigravity"),
        "loads": Called(pickle.loads, b"\x80\x02."),
        "torch_load": Called(torch.load, "x.pth"),
        "hub": Called(torch.hub.load, "a/b", "c"),
        "partial": Called(functools.partial, print, 1),
        "namespace": argparse.Namespace(x=1),
        "scalar": np.float64(1),
        "array": np.ones(3),
        "module": torch.nn.Linear(1, 1),
        "bytearray": Called(bytearray, 10**11),
        "tensor_call": Called(torch.zeros, 10**11),
        "empty_call": Called(torch._utils._rebuild_parameter, torch.ones(1), True, {}),
    }


def _zip(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return target.getvalue()


def _tar(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as file:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return target.getvalue()
