"""Zip archives as torch.save writes them: entries as they are, each once, none larger than the file."""

from __future__ import annotations

import struct
import zipfile
from typing import BinaryIO

import torch
from torch import Tensor

__all__ = ["Archive"]

_DIRECTORY = 16 << 20  # bytes
_HEADER = struct.Struct(
    "<4s22xHH"
)  # of an entry: signature, lengths of the name and of what is between it and the data
_ENCRYPTED = 1


class _Bounded:
    """The file for ``zipfile``, which reads the directory at once, of whatever size it says that it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        if count > _DIRECTORY:
            raise ValueError(f"its directory has {count} bytes, expected at most {_DIRECTORY}")
        return self._file.read(_DIRECTORY if count < 0 else count)


class Archive:
    """The entries of an archive in one folder, that of ``data.pkl``.

    Args:
        file: the open file.
        size: of it, in bytes.

    Raises:
        ValueError: it is damaged, or not as torch.save writes it: compressed, encrypted, or with entries that are
            together larger than the file.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        try:
            with zipfile.ZipFile(_Bounded(file)) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, struct.error, OSError) as error:
            raise ValueError(f"its directory cannot be read: {error}") from error
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
                raise ValueError("it is compressed or encrypted, which torch.save never does; unpack and zip it anew")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("its entries are together larger than the file")
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) != len(entries):
            raise ValueError("it has two entries of the same name")
        folders = {name.partition("/")[0] for name in self._entries if name.partition("/")[2] == "data.pkl"}
        if len(folders) != 1:
            raise ValueError("it has no data.pkl, or several")
        (self._folder,) = folders
        if f"{self._folder}/constants.pkl" in self._entries:
            raise ValueError("it is a TorchScript program; save the model's state_dict() instead")

    def read(self, name: str, missing: bytes | None = None) -> bytes:
        """The bytes of an entry.

        Args:
            name: within the folder.
            missing: what to give where there is no such entry.

        Raises:
            ValueError: there is none, or the file ends before it does.
        """
        if missing is not None and f"{self._folder}/{name}" not in self._entries:
            return missing
        return self._file.read(self._go_to(name))

    def read_tensor(self, name: str, size: int) -> Tensor:
        """The bytes of an entry as a tensor of bytes.

        Args:
            name: within the folder.
            size: that it must have, in bytes.

        Raises:
            ValueError: it is not there, or has another size.
        """
        if self._go_to(name) != size:
            raise ValueError("a storage has another size than its tensors say")
        content = torch.empty(size, dtype=torch.uint8)
        self._file.readinto(content.numpy().data)  # type: ignore[attr-defined]
        return content

    def _go_to(self, name: str) -> int:
        """Go to the begin of an entry's bytes; returns their number."""
        entry = self._entries.get(f"{self._folder}/{name}")
        if entry is None:
            raise ValueError("an entry that its tensors name is not there")
        begin, count = entry.header_offset, entry.file_size
        if 0 <= begin <= self._size - _HEADER.size:
            self._file.seek(begin)
            signature, name_length, extra_length = _HEADER.unpack(self._file.read(_HEADER.size))
            begin += _HEADER.size + name_length + extra_length
            if signature == b"PK\x03\x04" and count <= self._size - begin:
                self._file.seek(begin)
                return count
        raise ValueError("an entry lies outside of the file")
