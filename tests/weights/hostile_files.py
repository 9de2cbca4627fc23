"""Files of weights that ask for more time or memory than there is, each made by hand.

``python -m tests.weights.hostile_files`` reads each in turn and prints the seconds of CPU time, the peak memory in MiB,
and how it ended; with a name of :data:`LONG`, that one alone.
"""

from __future__ import annotations

import argparse
import resource
import struct
import tempfile
import time
from collections import OrderedDict
from pathlib import Path

import torch

from hiera_det.weights.read import read_checkpoint, state_dict_of
from tests.faults.corpus.torch_files import Called, Stored, archive, bomb, crafted, legacy, saved, tensor

__all__ = ["LONG"]

_LENGTH = struct.Struct("<Q")
_BEGIN, _MILLION = b"\x80\x04", 1 << 20


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _type(kind: str, order: bytes = b"<") -> bytes:
    state = b"(K\x03U\x01" + order + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
    return _name("numpy", "dtype") + b"(U\x02" + kind.encode() + b"\x89\x88tR" + state + b"b"


_NEW_ARRAY = _name("numpy.core.multiarray", "_reconstruct") + _name("numpy", "ndarray") + b"K\x00\x85U\x01b\x87R"
_AGAIN = b"h\x00h\x01R"  # calls the first note with the second
_COLLIDING = b"".join(b"\x8a\x0b" + (n * (2**61 - 1)).to_bytes(11, "little") + b"N" for n in range(300_000))


def _pickles() -> dict[str, bytes]:
    """Streams of instructions, each for a way to grow, to recurse or to go round."""
    text = b"X" + struct.pack("<I", 2 * _MILLION) + b"\xc3\xbc" * _MILLION
    encode = _name("_codecs", "encode") + b"\x94" + text + b"U\x06latin1\x86\x94"
    content = b"B" + struct.pack("<I", _MILLION) + bytes(_MILLION)
    copy = _name("builtins", "bytearray") + b"\x94" + content + b"\x85\x94"
    array = _NEW_ARRAY + b"(K\x01J\0\0\x08\0\x85h\x01\x89h\x00tb"
    outer = _NEW_ARRAY + b"(K\x01K\x01\x85" + _type("O8") + b"\x89]"
    huge, bytes_type = b"\x8a\x09" + bytes(8) + b"\x01", _type("u1")
    streams = {
        "deep tuple as a key": b"})" + b"\x85" * _MILLION + b"Ns",
        "doubled tuple as a key": b"})" + b"2\x86" * 60 + b"Ns",
        "deep lists": b"]" * _MILLION + b"a" * (_MILLION - 1),
        "deep tuples": b")" + b"\x85" * _MILLION,
        "deep dicts": b"}" + b"U\x01a}" * 200_000 + b"s" * 200_000,
        "doubled lists": b"]" + b"".join(b"\x94](h%ch%ce" % (n, n) for n in range(60)),
        "a list in itself": b"]2a",
        "texts encoded again and again": encode + b"(" + _AGAIN * 200_000 + b"t",
        "bytes copied again and again": copy + b"(" + _AGAIN * 200_000 + b"l",
        "an array copied again and again": content + b"\x94" + _type("u2", b">") + b"\x94(" + array * 2000 + b"l",
        "arrays in arrays": outer * 100_000 + b"N" + b"atb" * 100_000,
        "keys that collide": b"}(" + _COLLIDING + b"u",
        "a high note": b"Nr\xff\xff\xff\xff",
        "a length that lies": b"\x8e" + _LENGTH.pack(1 << 62) + b"x",
        "a text's length that lies": b"\x8d" + _LENGTH.pack(1 << 40) + b"x",
        "a frame's length that lies": b"\x95" + _LENGTH.pack(1 << 62) + b"x",
        "digits": b"L" + b"9" * (4 * _MILLION) + b"L\n",
        "a long integer": b"\x8b" + struct.pack("<I", 4 * _MILLION) + b"\x7f" * (4 * _MILLION),
        "a long line": b"S" + b"x" * (4 * _MILLION) + b"\n",
        "a shape that overflows": _NEW_ARRAY + b"(K\x01" + huge + huge + b"\x86" + bytes_type + b"\x89C\x00tb",
        "an array of nothing": _NEW_ARRAY + b"(K\x01K\x00J\xff\xff\xff\x7f\x86" + bytes_type + b"\x89C\x00tb",
    }
    return {name: _BEGIN + stream + b"." for name, stream in streams.items()}


def _long() -> dict[str, bytes]:
    """Streams of as many instructions as a pickle may have, and more."""
    members = b"](" + b"".join(b"U\x02%c%c" % (n >> 8, n & 255) for n in range(60_000)) + b"e\x85\x94"
    streams = {
        "marks": b"(" * (20 * _MILLION),
        "sets": b"\x8f" * (20 * _MILLION),
        "dicts": b"}" * (20 * _MILLION),
        "notes": b"N" + b"\x94" * (20 * _MILLION),
        "calls": _name("collections", "OrderedDict") + b"\x94)\x94(" + _AGAIN * (4 * _MILLION) + b"l",
        "members": _name("builtins", "set") + b"\x94" + members + b"(" + _AGAIN * 200_000 + b"l",
    }
    return {name: _BEGIN + stream + b"." for name, stream in streams.items()}


LONG = ("marks", "sets", "dicts", "notes", "calls", "members")


def _files() -> dict[str, bytes]:
    ones = torch.ones(4)
    header = _LENGTH.pack(200 << 20)
    streams = _pickles()
    return {f"{name}.pkl": content for name, content in streams.items()} | {
        "expanded.pth": saved({"model": {"a": ones[:1].expand(120_000, 120_000)}}),
        "expanded old.pth": legacy({"model": {"a": ones[:1].expand(120_000, 120_000)}}),
        "beyond.pth": crafted({"model": {"a": tensor((1000,), (1,))}}),
        "a storage that lies.pth": crafted({"model": {"a": tensor((1000,), (1,), stored=Stored(10**12))}}),
        "a deep key.pth": archive(streams["deep tuple as a key"].replace(b"\x80\x04", b"\x80\x02")),
        "bytearray.pth": crafted({"model": {"a": ones.numpy().tobytes(), "b": Called(bytearray, 10**11)}}),
        "tensor call.pth": crafted({"a": Called(torch.zeros, 10**11)}),
        "many views.pth": crafted({"a": [tensor((4,), (1,)) for _ in range(100_000)]}, storages={"0": bytes(16)}),
        "directory.pth": archive(b"\x80\x02}.", {str(number): b"" for number in range(250_000)}),
        "laughs.pth": archive(streams["doubled lists"]),
        "old, and lies.pth": legacy({"model": {"a": ones}}).replace(b"K\x04", b"J\xff\xff\xff\x7f"),
        "ordered.pth": crafted(OrderedDict((number, None) for number in range(200_000))),
        "header.safetensors": header + b"{" + b" " * 1000,
        "long header.safetensors": _safetensors(400_000),
    }


def _safetensors(count: int) -> bytes:
    entries = (f'"{number}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for number in range(count))
    header = ("{" + ",".join(entries) + "}").encode()
    return _LENGTH.pack(len(header)) + header


def main() -> None:
    """Read each file, or one of the long ones."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("long", nargs="?", choices=LONG)
    name = parser.parse_args().long
    found = {f"{name}.pkl": _long()[name]} if name else _files()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in found.items():
            path = Path(folder, name)
            path.write_bytes(content)
            _read(path)
            path.unlink()
        if len(found) > 1:
            bomb(Path(folder, "bomb.pth"), 1)
            _read(Path(folder, "bomb.pth"))


def _read(path: Path) -> None:
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, time.process_time()
    try:
        found = f"{len(state_dict_of(read_checkpoint(path), str(path)))} tensors"
    except (ValueError, OSError) as error:
        found = f"{type(error).__name__}: {str(error).removeprefix(str(path.parent))}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{path.name}\t{time.process_time() - start:.2f}\t{before}\t{peak}\t{found}", flush=True)


if __name__ == "__main__":
    main()
