"""Notes what a process does that no reader may do: start processes, open sockets, run code, write elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

_NEVER = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "pickle.find_class",
    "pty.spawn",
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyaddr",
    "socket.gethostbyname",
    "socket.sendmsg",
    "socket.sendto",
    "subprocess.Popen",
    "urllib.Request",
    "webbrowser.open",
}
_CHANGES = {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PLAIN = ("/dev/", "/proc/")


def watch(folder: Path, note: int) -> None:
    """Write a line to the file descriptor ``note`` for each forbidden act of this process, from now to its end.

    Those on files elsewhere begin with "writes" or "changes".

    Args:
        folder: the only place where files may be written or changed; code must not come from it.
        note: opened for writing.
    """
    home = os.path.realpath(folder)

    def is_outside(path: Any, *, follow: bool) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # a file that is open already
        folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        real = os.path.join(os.path.realpath(folder), name)
        real = os.path.realpath(real) if follow else real  # what is renamed or removed is a link itself
        return not real.startswith((home + os.sep, *_PLAIN)) and real != home

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _NEVER:
            told = f"{event} {arguments!r:.200}"
        elif event == "open":
            path, _, flags = arguments
            if not (flags & _WRITES and is_outside(path, follow=True)):
                return
            told = f"writes {path!r:.200}"
        elif event in _CHANGES:
            outside = [path for path in arguments if is_outside(path, follow=False)]
            if not outside:
                return
            told = f"changes {event} {outside!r:.200}"
        elif event == "exec":
            name = str(getattr(arguments[0], "co_filename", ""))
            if not name.startswith(home):
                return
            told = f"runs code of {name!r:.200}"
        else:
            return
        os.write(note, (told.replace("\n", " ") + "\n").encode("utf-8", "backslashreplace"))

    sys.addaudithook(hook)
