"""Files of torch.save, made by hand."""

from __future__ import annotations

import io
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = ["Called", "Stored", "archive", "bomb", "crafted", "legacy", "rezipped", "saved", "tensor"]


class Called:
    """Pickled as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


@dataclass(frozen=True, eq=False)
class Stored:
    """Pickled as a reference to a storage of the archive."""

    numbers: int = 4
    key: Any = "0"
    kind: Any = torch.FloatStorage
    place: Any = "cpu"


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, Stored):
            return ("storage", value.kind, value.key, value.place, value.numbers)
        return None


def tensor(size: Any, stride: Any = None, offset: Any = 0, stored: Stored | None = None) -> Called:
    """A tensor of any shape over a storage of four numbers."""
    stride = tuple(0 for _ in size) if stride is None and isinstance(size, tuple) else stride
    return Called(torch._utils._rebuild_tensor_v2, stored or Stored(), offset, size, stride, False, {})


def pickled(value: Any) -> bytes:
    """A pickle with references to storages."""
    target = io.BytesIO()
    _Pickler(target, protocol=2).dump(value)
    return target.getvalue()


def archive(data: bytes, storages: Mapping[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive as torch.save writes it around a pickle."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/byteorder", b"little")
        for name, content in ({"0": bytes(16)} if storages is None else storages).items():
            file.writestr(f"archive/data/{name}", content)
        file.writestr("archive/version", b"3\n")
    return target.getvalue()


def crafted(value: Any, **options: Any) -> bytes:
    """An archive with a value, in which :class:`Called` and :class:`Stored` may stand."""
    return archive(pickled(value), **options)


def saved(value: Any) -> bytes:
    """What torch.save writes."""
    target = io.BytesIO()
    torch.save(value, target)
    return target.getvalue()


def legacy(value: Any) -> bytes:
    """What torch.save wrote before 1.6."""
    target = io.BytesIO()
    torch.save(value, target, _use_new_zipfile_serialization=False)
    return target.getvalue()


def rezipped(data: bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The same archive compressed."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as there, zipfile.ZipFile(target, "w", compression) as file:
        for name in there.namelist():
            file.writestr(name, there.read(name))
    return target.getvalue()


def bomb(path: Path, gigabytes: int, name: str = "blocks.0.norm1.weight") -> None:
    """An archive with one storage of zeros, deflated to a thousandth: no more than its size is wrong."""
    unit = 1 << 26  # of zeros, whose deflated form repeats
    packer = zlib.compressobj(9, wbits=-15)
    begin = packer.compress(bytes(unit)) + packer.flush(zlib.Z_FULL_FLUSH)
    middle = packer.compress(bytes(unit)) + packer.flush(zlib.Z_FULL_FLUSH)
    count = (gigabytes << 30) // unit
    sum_of_all = 0
    for _ in range(count):
        sum_of_all = zlib.crc32(bytes(unit), sum_of_all)
    body = begin + middle * (count - 1) + b"\x03\x00"
    numbers = count * unit // 4
    pickle_of_it = pickled({"model_state": {name: tensor((numbers,), (1,), stored=Stored(numbers))}})
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle_of_it)
        file.writestr("archive/version", b"3\n")
        info = zipfile.ZipInfo("archive/data/0")
        info.compress_type, info.CRC = zipfile.ZIP_DEFLATED, sum_of_all
        info.file_size, info.compress_size = count * unit, len(body)
        info.header_offset = file.fp.tell()  # type: ignore[union-attr]
        file.fp.write(info.FileHeader(zip64=True) + body)  # type: ignore[union-attr]
        file.start_dir = file.fp.tell()  # type: ignore[union-attr]
        file.filelist.append(info)
        file.NameToInfo[info.filename] = info
        file._didModify = True  # type: ignore[attr-defined]
