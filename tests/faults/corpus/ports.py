"""Where hostile files would have a reader connect to: a port that this process listens on."""

from __future__ import annotations

import socket

__all__ = ["PORT", "connections"]

_LISTENER = socket.create_server(("127.0.0.1", 0))
_LISTENER.setblocking(False)
PORT: int = _LISTENER.getsockname()[1]


def connections() -> int:
    """How many came since it was asked last."""
    count = 0
    while True:
        try:
            _LISTENER.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1
