"""Safetensors files with damaged headers, and the config.json beside them, through `info`."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.case import Case, Write, copy, put
from tests.faults.corpus.bytes_of import flipped, no_files, strangers, truncated
from tests.faults.material import Material

__all__ = ["cases"]

_WORDS = ("info", "x.safetensors")
_FOLDER = ("info", "saved")
_SOUND = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    small = good.made("small.safetensors", lambda path: _save(good.classifier, path))
    data = small.read_bytes()
    yield Case("good", _WORDS, put("x.safetensors", data), good=True)
    for name, content in (*strangers(), *truncated(data, 12)):
        yield Case(name, _WORDS, put("x.safetensors", content), refused=True)
    for name, write in no_files("x.safetensors"):
        yield Case(name, _WORDS, write, refused=True)
    for name, content in flipped(data, 20, within=3000):
        yield Case(name, _WORDS, put("x.safetensors", content))
    for name, content in _headers().items():
        yield Case(f"header_{name}", _WORDS, put("x.safetensors", content), refused=True)
    saved = good.made("saved", lambda path: _save_pretrained(good.detection_run, path))
    yield Case("good_saved", _FOLDER, copy(saved, "saved"), good=True)
    config = json.loads((saved / "config.json").read_bytes())
    for name, text in _configs(config).items():
        yield Case(f"config_{name}", _FOLDER, _beside(saved, put("saved/config.json", text)))
    for name, write in no_files("saved/config.json"):
        yield Case(f"config_{name}", _FOLDER, _beside(saved, write))


def _beside(saved: Path, write: Write) -> Write:
    def both(folder: Path) -> None:
        copy(saved, "saved")(folder)
        (folder / "saved" / "config.json").unlink()
        write(folder)

    return both


def _file(header: Any, body: bytes = bytes(16), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def _headers() -> dict[str, bytes]:
    found = {
        "length_huge": _file({"x": _SOUND}, length=2**63),
        "length_most": _file({"x": _SOUND}, length=2**64 - 1),
        "length_beyond": _file({"x": _SOUND}, length=10**6),
        "length_zero": _file({"x": _SOUND}, length=0),
        "length_100_mb": _file(b"{" + b" " * 10**6 + b"}", length=99_999_999),
        "spaces": _file(b"{" + b" " * 20_000_000 + b"}"),
        "deep": _file(b'{"x":' * 50_000 + b"1" + b"}" * 50_000),
        "list": _file([]),
        "text": _file("x"),
        "empty": _file({}),
        "twice": _file(b'{"x":%b,"x":%b}' % ((json.dumps(_SOUND).encode(),) * 2)),
        "surrogate": _file(b'{"\\ud800":%b}' % json.dumps(_SOUND).encode()),
        "not_utf8": _file(b'{"\xff":%b}' % json.dumps(_SOUND).encode()),
        "nan": _file(b'{"x":{"dtype":"F32","shape":[NaN],"data_offsets":[0,16]}}'),
        "metadata_deep": _file({"__metadata__": {"x": {"y": 1}}, "x": _SOUND}),
        "only_metadata": _file({"__metadata__": {"format": "pt"}}, b""),
        "name_nul": _file({"a\0b\x1b[2J": _SOUND}),
        "many": _file({f"x{n}": {"dtype": "F32", "shape": [0], "data_offsets": [16, 16]} for n in range(50_000)}),
    }
    changes: dict[str, dict[str, Any]] = {
        "dtype_unknown": {"dtype": "Q7"},
        "dtype_number": {"dtype": 1},
        "dtype_wide": {"dtype": "F64"},
        "shape_negative": {"shape": [-2, -2]},
        "shape_huge": {"shape": [2**62, 4]},
        "shape_overflow": {"shape": [2**32, 2**32]},
        "shape_text": {"shape": "4"},
        "shape_float": {"shape": [2.0, 2.0]},
        "shape_many": {"shape": [1] * 1000 + [4]},
        "shape_long": {"shape": [10**400]},
        "offsets_beyond": {"data_offsets": [0, 10**9]},
        "offsets_backward": {"data_offsets": [16, 0]},
        "offsets_negative": {"data_offsets": [-16, 0]},
        "offsets_inside": {"data_offsets": [4, 20]},
        "offsets_one": {"data_offsets": [16]},
        "offsets_long": {"data_offsets": [0, 2**64]},
    }
    found |= {name: _file({"x": {**_SOUND, **change}}) for name, change in changes.items()}
    found["overlap"] = _file({"x": _SOUND, "y": _SOUND})
    found["complex"] = _file({"blocks.0.x": {"dtype": "C64", "shape": [2], "data_offsets": [0, 16]}})
    return found


def _configs(config: dict[str, Any]) -> dict[str, str]:
    values: dict[str, Any] = {
        "surrogates": {"class_names": ["\ud800"] * 3},
        "escapes": {"class_names": ["\x1b[2J", "a\rb", "=1+1"]},
        "many_classes": {"class_names": ["x"] * 20_000},
        "long_class": {"class_names": ["x" * 10**6, "y", "z"]},
        "numbers": {"class_names": [1, 2, 3]},
        "no_classes": {"class_names": None},
        "long_ids": {"category_ids": [10**400, 1, 2]},
        "float_ids": {"category_ids": [0.5, 1, 2]},
        "same_ids": {"category_ids": [1, 1, 1]},
        "iteration_text": {"iteration": "x"},
        "iteration_long": {"iteration": 10**400},
        "task_list": {"task": ["detection"]},
        "task_unknown": {"task": "\x1b[31mother"},
        "config_list": {"config": [1]},
        "config_text": {"config": "x"},
        "config_number_keys": {"config": {"MODEL": {"HIERA": 3}}},
        "licence_long": {"licence": "x" * 10**6},
        "version_list": {"hiera_det_version": [1]},
        "name_unknown": {"name": "hiera_unknown"},
        "stages_huge": {"stages": [10**9] * 4, "embed_dim": 10**9},
        "model_type": {"model_type": "hiera", "embed_dim": "x", "depths": [10**12]},
    }
    found = {name: json.dumps({**config, **change}) for name, change in values.items()}
    found |= {"deep": "[" * 100_000, "deep_object": '{"x":' * 100_000, "list": "[1]", "empty": "", "nan": "NaN"}
    found |= {"long_number": '{"iteration": ' + "9" * 100_000 + "}", "null": "null", "twice": '{"task": 1, "task": 2}'}
    found["deep_config"] = (
        json.dumps({**config, "config": None})[:-1] + ', "config": ' + '{"x":' * 500 + "1" + "}" * 501
    )
    return found


def _save(classifier: Path, path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file(torch.load(classifier, weights_only=True)["model_state"], path)


def _save_pretrained(run: Path, path: Path) -> None:
    import hiera_det

    hiera_det.load(str(run), device="cpu").save_pretrained(path)
