"""Writing files so that each is complete or not there: under a temporary name, then renamed."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import logging
import math
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hiera_det.utils.escape import cell
from hiera_det.utils.regular import open_regular

__all__ = [
    "FULL",
    "atomic_write",
    "disk_full",
    "file_sum",
    "is_temporary",
    "make_folder",
    "remove_leftovers",
    "sync",
    "temporary_path",
    "write_csv",
    "write_json",
]

logger = logging.getLogger(__name__)

_TEMPORARY = re.compile(r"tmp\.(?P<host>\w{0,32})-(?P<pid>\d+)-[0-9a-f]{8}\..+", re.ASCII | re.DOTALL)
_KEPT = 48  # characters of a long name: with what stands before them they fit into the 255 bytes of a file's name
_FIRST_NAMESPACE = "pid:[4026531836]"  # Linux' own, the same on all machines
_DAY = 24 * 3600.0  # seconds
_CHUNK = 1 << 20  # bytes
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of no space, or a quota or limit that is reached
_PROBE = 1 << 16  # bytes that are tried where a library does not say why it failed


def temporary_path(target: Path) -> Path:
    """A name beside ``target`` that no other process uses: ``tmp.<host>-<pid>-<8 random hex digits>.<name>``.

    Machines share disks, and containers may share even host name and process id: hence the random digits. The name
    stands last, so that writers that go by a file's ending still do.
    """
    return target.with_name(f"tmp.{_host()}-{os.getpid()}-{secrets.token_hex(4)}.{target.name[-_KEPT:]}")


def is_temporary(name: str) -> bool:
    """Whether a file's or folder's name is one that :func:`temporary_path` gives."""
    return _TEMPORARY.fullmatch(name) is not None


@contextmanager
def atomic_write(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to; what is there when the block ends takes the place of ``path``.

    It may be a folder where there is nothing, or an empty folder, at ``path``. After an error the temporary file is
    removed, and ``path`` is as it was. A process that is killed leaves the temporary file: :func:`remove_leftovers`.

    Args:
        path: the file, or folder.
        durable: wait until the file and its name are on the disk, so that they outlive a loss of power.

    Raises:
        OSError: the disk is full; the message names ``path``.
    """
    target = Path(path)
    temporary = temporary_path(target)
    try:
        yield temporary
        if durable:
            sync(temporary)
        temporary.replace(target)
        if durable:
            sync(target.parent)
    except BaseException as error:
        reason = _full_disk(error, target.parent) if isinstance(error, Exception) else None
        _remove(temporary)
        if reason is not None:
            raise disk_full(target, reason) from error
        raise


def disk_full(path: Path, number: int) -> OSError:
    """Give the error that says that a file does not fit on its disk.

    Args:
        path: the file.
        number: the system's of the error, such as ``errno.ENOSPC``.
    """
    return OSError(
        f"{path} cannot be written: the disk is full, or a quota or limit is reached ({os.strerror(number)}); make"
        " room, or choose another folder. What was at that place before is as it was"
    )


def _full_disk(error: BaseException, folder: Path) -> int | None:
    """The system's number of an error where a writer failed for want of space: not every library says so."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause.errno if cause.errno in FULL else None
        if (found := re.search(r"\(os error (\d+)\)", str(cause))) and int(found[1]) in FULL:  # safetensors
            return int(found[1])
        cause = cause.__cause__ or cause.__context__
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE))
    except OSError as problem:
        return problem.errno if problem.errno in FULL else None
    return None


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in a folder.

    Those of this host go once their process is gone. Whether a process of another host runs cannot be seen from here,
    nor whether one of the same host name and process id does, in another container: theirs go after a day.
    """
    for path in folder.iterdir():
        found = _TEMPORARY.fullmatch(path.name)
        if found and _is_abandoned(path, found["host"], int(found["pid"])):
            logger.info("removing %s, left half-written by an interrupted process", path)
            _remove(path)


def make_folder(path: str | Path, name: str) -> Path:
    """Make a folder, if it is not there, and try whether it can be written to.

    Args:
        path: the folder.
        name: what it is, for the message.

    Raises:
        OSError: it cannot be made or written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"{name} {folder} cannot be written to ({error.strerror}); choose another folder") from error
    return folder


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file in UTF-8 atomically, safe to open in a spreadsheet: see :func:`hiera_det.utils.escape.cell`.

    Args:
        path: the file; its folder is made.
        header: names of the columns.
        rows: a value for each column.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([cell(value) for value in row] for row in rows)


def write_json(path: str | Path, content: Any, *, indent: int | None = None) -> None:
    """Write JSON atomically: NaN and infinity, which JSON lacks, as null.

    Args:
        path: the file; its folder is made.
        content: of mappings, lists, text, numbers and None.
        indent: spaces for each level; None: all on one line.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(_finite(content), indent=indent, allow_nan=False), encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def file_sum(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    total = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def _host() -> str:
    """The host name in at most 32 of ``[A-Za-z0-9_]``; where that changes it, with a digest that tells it apart."""
    name = socket.gethostname() + _pid_namespace()
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)[:32]
    return plain if plain == name else f"{plain[:23]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _pid_namespace() -> str:
    """What tells a container's process ids from another's, on Linux; empty outside of containers."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return "" if namespace == _FIRST_NAMESPACE else namespace


def _is_abandoned(path: Path, host: str, pid: int) -> bool:
    if host == _host() and pid != os.getpid():
        return not _runs(pid)
    try:
        return time.time() - path.stat().st_mtime > _DAY
    except FileNotFoundError:  # its process is through with it
        return False


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    try:  # one that is dead, but that its parent has not asked about yet, as in containers without an init process
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state != b"Z"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
