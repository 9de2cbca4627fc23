"""A small file system of its own for a process: a tmpfs that only it and its children see."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

__all__ = ["fill", "mount_disk", "reason_without"]

_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000
_PRIVATE, _RECURSIVE = 1 << 18, 1 << 14


def mount_disk(folder: Path, size: int) -> None:
    """Mount an empty disk of ``size`` bytes on a folder, in a namespace of this process, which has one thread.

    Raises:
        OSError: this is not permitted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    _check(libc.unshare(_NEW_MOUNTS | (_NEW_USER if user else 0)), "unshare")
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            Path(f"/proc/self/{name}").write_text(text)
    _check(libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None), "mount")
    folder.mkdir(parents=True, exist_ok=True)
    _check(libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()), "mount")


def fill(folder: Path, free: int) -> Path:
    """Leave ``free`` bytes of a disk, to whole pages; the file that takes the others."""
    filler = folder / "filler"
    there = os.statvfs(folder)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(there.f_bavail * there.f_frsize - free, 1))
    return filler


def reason_without(scratch: Path) -> str:
    """Why there can be no small disk; "": there can."""
    from tests.faults.warm import run

    outcome = run(lambda: mount_disk(scratch / "disk", 1 << 20), scratch / "disk_tried", 20, watched=False)
    return outcome.stderr.splitlines()[-1] if outcome.code else ""


def _check(result: int, name: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
