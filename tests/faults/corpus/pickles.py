"""Pickles, made opcode by opcode: as weights through `info`, as AVA's person boxes through `check`."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.case import Case, put
from tests.faults.corpus.bytes_of import flipped, no_files, strangers, truncated
from tests.faults.material import Material

__all__ = ["cases", "streams"]

_WORDS = ("info", "x.pkl")


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    weights = good.made("small.pkl", lambda path: _save(good.classifier, path)).read_bytes()
    boxes = {"val_0001,0902": np.array([[0.1, 0.1, 0.5, 0.9, 0.95]]), "val_0002,0903": np.zeros((0, 5))}
    table = pickle.dumps(boxes, protocol=2)
    check = ("check", "--config", str(good.actions_config), "DATASETS.TEST_BOXES", "{folder}/x.pkl")
    for reader, words, data in (("weights", _WORDS, weights), ("boxes", check, table)):
        yield Case(f"good_{reader}", words, put("x.pkl", data), good=True)
        for name, content in (*strangers(), *truncated(data, 10)):
            yield Case(f"{reader}_{name}", words, put("x.pkl", content), refused=True)
        for name, write in no_files("x.pkl"):
            yield Case(f"{reader}_{name}", words, write, refused=True)
        for name, content in flipped(data, 15, within=2000, seed=len(reader)):
            yield Case(f"{reader}_{name}", words, put("x.pkl", content))
        for name, content in streams().items():
            yield Case(f"{reader}_stream_{name}", words, put("x.pkl", content), refused=True)
    for name, value in _tables(boxes).items():
        yield Case(f"table_{name}", check, put("x.pkl", pickle.dumps(value, protocol=4)), like="good_boxes")
    for protocol in range(6):
        yield Case(f"good_protocol_{protocol}", check, put("x.pkl", pickle.dumps(boxes, protocol=protocol)), good=True)


def streams() -> dict[str, bytes]:
    """Streams of opcodes that are no plain data, or none that ends, or far more than the file."""
    found = {
        "system": b"cos\nsystem\n(S'touch called'\ntR.",
        "posix": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0ctouch called\x85R.",
        "inst": b"(S'touch called'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'touch called'\no.",
        "newobj": b"\x80\x02csubprocess\nPopen\n(U\x0ctouch called\x85tb.",
        "newobj_ex": b"\x80\x04csubprocess\nPopen\n(U\x0ctouch called\x85}\x92.",
        "eval": b"c__builtin__\neval\n(U\x20open('called','w').write('x')    tR.",
        "getattr": b"c__builtin__\ngetattr\n(c__builtin__\n__import__\n(U\x02ostRU\x06systemtR.",
        "ext": b"\x80\x02\x82\x01.",
        "persistent": b"Pother\n.",
        "binpersid": b"K\x01Q.",
        "codecs": b"c_codecs\ndecode\n(U\x04eJwDU\x04zlibtR.",
        "codecs_encode": b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x04\x00\x00\x00zlibtR.",
        "bytearray_huge": b"c__builtin__\nbytearray\n(J\xff\xff\xff\x7ftR.",
        "set_of_lists": b"c__builtin__\nset\n((l(lltR.",
        "complex_text": b"c__builtin__\ncomplex\n(U\x01xtR.",
        "protocol": b"\x80\xff.",
        "no_stop": b"\x80\x02]",
        "stop_only": b".",
        "underflow": b"a.",
        "underflow_pop": b"0000.",
        "mark": b"(.",
        "no_mark": b"]e.",
        "memo_absent": b"h\x05.",
        "memo_huge": b"]r\xff\xff\xff\x7f.",
        "memo_negative": b"]p-1\n.",
        "memo_text": b"]pabc\n.",
        "memoize_empty": b"\x80\x04\x94.",
        "frame_huge": b"\x80\x04\x95" + struct.pack("<Q", 2**63 - 1) + b"].",
        "frame_short": b"\x80\x04\x95" + struct.pack("<Q", 1) + b"]]].",
        "unicode8_huge": b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b"x.",
        "unicode_huge": b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"x.",
        "unicode_not_utf8": b"\x80\x02X\x02\x00\x00\x00\xff\xff.",
        "bytes8_huge": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
        "bytearray8_huge": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
        "string_negative": b"T\xff\xff\xff\xffx.",
        "long4_negative": b"\x80\x02\x8b\xff\xff\xff\xff.",
        "long4_huge": b"\x80\x02\x8b\xff\xff\xff\x7fx.",
        "long_text": b"L" + b"9" * 100_000 + b"L\n.",
        "int_text": b"Ixyz\n.",
        "float_text": b"Fxyz\n.",
        "string_open": b"S'abc\n.",
        "string_escape": b"S'\\xzz'\n.",
        "unicode_escape": b"V\\ud800\n.",
        "next_buffer": b"\x80\x05\x97.",
        "readonly_buffer": b"\x80\x05]\x98.",
        "dict_unhashable": b"(}]d.",
        "dict_odd": b"(K\x01d.",
        "setitem_list": b"]K\x01K\x02s.",
        "append_dict": b"}K\x01a.",
        "additems_list": b"\x80\x04](K\x01\x90.",
        "frozen_unhashable": b"\x80\x04(]\x91.",
        "cycle": b"]q\x00h\x00a.",
        "cycle_dict": b"}q\x00U\x01xh\x00s.",
        "deep": b"]" * 200_000 + b"a" * 199_999 + b".",
        "deep_dicts": b"}" + b"U\x01a}" * 100_000 + b"s" * 100_000 + b".",
        "deep_tuples": b")" + b"\x85" * 200_000 + b".",
        "laughs": b"]" + b"".join(b"q%c](h%ch%ch%ch%ce" % ((n,) * 5) for n in range(60)) + b".",
        "laughs_dict": b"}U\x01wc__builtin__\nset\n" + b"0K\x01s.",
        "dup": b"U\x01x" + b"2" * 500_000 + b".",
        "many_memo": b"".join(b"]p%d\n0" % number for number in range(50_000)) + b"].",
        "many_empty": b"(" + b"]" * 1_000_000 + b"l.",
        "comment": b"(lp0\n" * 30_000 + b".",
    }
    return found | {f"array_{name}": _dict_of(content) for name, content in _arrays().items()}


def _dict_of(content: bytes) -> bytes:
    return b"}U\x01x" + content + b"s."


def _text(value: str) -> bytes:
    return b"U" + bytes([len(value)]) + value.encode()


def _dtype(code: str, *state: bytes) -> bytes:
    built = b"(" + b"".join(state) + b"tb" if state else b""
    return b"cnumpy\ndtype\n(" + _text(code) + b"K\x00K\x01tR" + built


def _array(shape: bytes, dtype: bytes, data: bytes, order: bytes = b"I00\n") -> bytes:
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    return made + b"(K\x01" + shape + dtype + order + data + b"tb"


def _arrays() -> dict[str, bytes]:
    """NumPy's pickled arrays with what they may not have."""
    f8 = _dtype("f8", b"K\x03", _text("<"), b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00")
    objects = _dtype("O8", b"K\x03", _text("|"), b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3f")
    eight = _text("A" * 8)
    fields = b"}" + _text("f") + b"(" + _dtype("O8") + b"K\x00ts"
    void = _dtype("V8", b"K\x03", _text("|"), b"N(" + _text("f") + b"t" + fields + b"K\x08K\x01K\x10")
    shared = _dtype("V8") + b"q\x01" + b"0" + _array(b"(K\x01t", b"h\x01", eight) + b"q\x020h\x01("
    shared += b"K\x03" + _text("|") + b"N(" + _text("f") + b"t" + fields + b"K\x08K\x01K\x10tbh\x02"
    return {
        "objects": _array(b"(K\x01t", objects, eight),
        "object_list": _array(b"(K\x01t", objects, b"(lcos\nsystem\na"),
        "fields_of_objects": _array(b"(K\x01t", void, eight),
        "shared_dtype": shared,
        "long_itemsize": _array(b"(K\x01t", _dtype("S1000000000"), eight),
        "unicode": _array(b"(K\x01t", _dtype("U2"), eight),
        "datetime": _array(b"(K\x01t", _dtype("M8[s]"), eight),
        "nested_dtype": _array(b"(K\x01t", _dtype("(1000000,1000000)f8"), eight),
        "comma_dtype": _array(b"(K\x01t", _dtype("f4,O"), eight),
        "unknown_dtype": _array(b"(K\x01t", _dtype("nothing"), eight),
        "short": _array(b"(K\x64t", f8, eight),
        "long": _array(b"(K\x01t", f8, _text("A" * 64)),
        "negative_shape": _array(b"(J\xff\xff\xff\xfft", f8, eight),
        "huge_shape": _array(b"(\x8a\x06\xff\xff\xff\xff\xff\x00t", f8, eight),
        "overflowing_shape": _array(b"(\x8a\x05\x00\x00\x00\x00\x01\x8a\x05\x00\x00\x00\x00\x01t", f8, eight),
        "float_shape": _array(b"(F1.5\nt", f8, eight),
        "list_shape": _array(b"]", f8, eight),
        "zeros_shape": _array(b"(K\x00\x8a\x06\xff\xff\xff\xff\xff\x00t", f8, _text("")),
        "many_dimensions": _array(b"(" + b"K\x01" * 200 + b"t", f8, eight),
        "data_list": _array(b"(K\x01t", f8, b"]"),
        "data_none": _array(b"(K\x01t", f8, b"N"),
        "dtype_none": _array(b"(K\x01t", b"N", eight),
        "dtype_text": _array(b"(K\x01t", _text("f8"), eight),
        "order_text": _array(b"(K\x01t", f8, eight, _text("F")),
        "reconstruct_other": b"cnumpy.core.multiarray\n_reconstruct\n(c__builtin__\nset\n(K\x00tU\x01btR",
        "reconstruct_huge": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(J\xff\xff\xff\x7ftU\x01btR",
        "not_built": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR",
        "ndarray_call": b"cnumpy\nndarray\n(J\xff\xff\xff\x7f\x85tR",
        "scalar_objects": b"cnumpy.core.multiarray\nscalar\n(" + objects + eight + b"tR",
        "scalar_short": b"cnumpy.core.multiarray\nscalar\n(" + f8 + _text("A") + b"tR",
        "frombuffer": b"cnumpy._core.numeric\n_frombuffer\n(" + eight + f8 + b"(J\xff\xff\xff\x7ftU\x01CtR",
        "frombuffer_objects": b"cnumpy._core.numeric\n_frombuffer\n(" + eight + objects + b"(K\x01tU\x01CtR",
        "load": b"cnumpy\nload\n(U\x01xtR",
        "build_array_dict": _array(b"(K\x01t", f8, eight) + b"}U\x05shapeJ\xff\xff\xff\x7fsb",
        "build_list": b"]}U\x01xK\x01sb",
        "endian": _array(b"(K\x01t", _dtype("f8", b"K\x03", _text("?"), b"NNNK\x00K\x00K\x00"), eight),
        "state_short": b"cnumpy\ndtype\n(U\x02f8K\x00K\x01tR(K\x03tb",
    }


def _tables(boxes: dict[str, np.ndarray]) -> dict[str, Any]:
    row = np.array([[0.1, 0.1, 0.5, 0.9, 0.95]])
    return {
        "not_finite": {"v,0902": row * np.nan, "w,0902": row / 0},
        "beyond": {"v,0902": row * 1e308},
        "wide": {"v,0902": np.zeros((2, 6))},
        "flat": {"v,0902": np.zeros(5)},
        "integers": {"v,0902": np.array([[0, 0, 1, 1, 1]])},
        "unsigned": {"v,0902": np.array([[0, 0, 1, 1, 2**64 - 1]], np.uint64)},
        "bools": {"v,0902": np.zeros((1, 5), bool)},
        "complex": {"v,0902": row.astype(complex)},
        "text": {"v,0902": np.array([list("abcde")])},
        "list": {"v,0902": [[0, 0, 1, 1, 1]]},
        "keys": {1: row, None: row, ("v", 1): row, b"v,0902": row, "\ud800,0902": row, "v,nan": row, "v,1e999": row},
        "key_long": {"v" * 10**6 + ",0902": row},
        "key_escape": {"\x1b[2J\r,0902": row, "=cmd()": row},
        "second_long": {"v," + "9" * 5000: row},
        "array": row,
        "empty": {},
        "number": 10**5000,
        "cycle": (lambda table: table.update({"v,0902": table}) or table)({}),
        "many_problems": {f"v{number},x": row for number in range(20_000)},
        "more_videos": {**boxes, **{f"v{number},0902": row for number in range(5000)}},
    }


def _save(classifier: Path, path: Path) -> None:
    import torch

    state = torch.load(classifier, weights_only=True)["model_state"]
    target = io.BytesIO()
    pickle.dump({"model": {name: value.numpy() for name, value in state.items()}}, target, protocol=2)
    path.write_bytes(target.getvalue())
