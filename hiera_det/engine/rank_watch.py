"""No rank waits for a dead one, as collectives do: the ranks of a run watch each other."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import selectors
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Any, NoReturn

import torch.distributed as dist

__all__ = ["RankWatch"]

logger = logging.getLogger(__name__)

_MESSAGE = struct.Struct("!cI")  # one of these, and a rank
_LEFT, _FAILED, _DEAD = b"L", b"F", b"D"
_TOKEN = 16  # bytes
_CONNECT = 60.0  # seconds, within which a rank connects to rank 0
_HELLO = 5.0  # seconds, within which it says which one it is
_GRACE = 10.0  # seconds, in which a rank may end by itself once another has failed
# Seconds, in which the news of a dead rank comes after the first sign of it.
_LOST_CONNECTION, _SIGTERM = 5.0, 1.0
# Of TCP, so that a machine that is gone is noticed within 45 s: (seconds to the first question, between them, how many)
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class RankWatch:
    """Ends this process soon after another rank has died or failed: it may wait for it in a collective, for ever.

    Each rank has a connection to rank 0, which the system closes when either process ends, however that comes. Who is
    through, or ends with an error, says so first. A rank that hangs is not noticed; nor is one taken for dead that
    computes for long.

    It is made on all ranks together, once their process group is there, and left with :meth:`leave`, or at the end of a
    ``with`` block.
    """

    def __init__(self) -> None:
        self.rank, self.number = dist.get_rank(), dist.get_world_size()
        self._others: dict[socket.socket, int] = {}
        self._has_left = False
        self._failed = threading.Event()  # another rank has, and has said why
        server = socket.create_server(("", 0), backlog=self.number) if self.rank == 0 else None
        place: list[Any] = [server and (server.getsockname()[1], secrets.token_bytes(_TOKEN))]
        dist.broadcast_object_list(place)
        port, self._token = place[0]
        if server is None:
            try:
                connection = socket.create_connection((os.environ["MASTER_ADDR"], port), _CONNECT)
                connection.sendall(self._token + _MESSAGE.pack(_LEFT, self.rank))
            except OSError as error:
                logger.warning("rank %d has no connection to rank 0 (%s): if one dies, others wait", self.rank, error)
                return
            self._add(connection, 0)
        os.register_at_fork(after_in_child=self._forget)
        threading.Thread(target=self._watch, args=(server,), daemon=True).start()

    def leave(self, error: BaseException | None = None) -> None:
        """Tell the others that this rank is through, or that it ends with an error, which it will show.

        Where the error is but a sign that another rank has died or failed, the process ends here.
        """
        patience = _LOST_CONNECTION if _is_lost_connection(error) else 0.0
        if isinstance(error, SystemExit):  # a launcher that sees a rank die sends SIGTERM to the others
            patience = _SIGTERM
        if patience and self._failed.wait(patience):
            os._exit(1)
        self._has_left = True
        self._tell(_LEFT if error is None or isinstance(error, SystemExit) else _FAILED, self.rank)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.leave(error)

    def _add(self, connection: socket.socket, rank: int) -> None:
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._others[connection] = rank

    def _forget(self) -> None:
        """In a loader's worker process: the connections end with the rank alone."""
        for connection in self._others:
            connection.close()

    def _tell(self, kind: bytes, rank: int) -> None:
        for connection in list(self._others):
            with contextlib.suppress(OSError):
                connection.sendall(_MESSAGE.pack(kind, rank))

    def _watch(self, server: socket.socket | None) -> None:
        with selectors.DefaultSelector() as selector:
            for its in [*self._others] if server is None else [server]:
                selector.register(its, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    connection: Any = key.fileobj
                    if server is None or connection is not server:
                        self._hear(connection)
                        selector.unregister(connection)
                    elif (connected := self._greet(server)) is not None:
                        selector.register(connected, selectors.EVENT_READ)

    def _greet(self, server: socket.socket) -> socket.socket | None:
        """Let a rank in; whoever does not know the token is sent away."""
        connection, _ = server.accept()
        connection.settimeout(_HELLO)
        with contextlib.suppress(OSError):
            hello = connection.recv(_TOKEN + _MESSAGE.size, socket.MSG_WAITALL)
            if len(hello) == _TOKEN + _MESSAGE.size and secrets.compare_digest(hello[:_TOKEN], self._token):
                self._add(connection, _MESSAGE.unpack(hello[_TOKEN:])[1])
                return connection
        connection.close()
        return None

    def _hear(self, connection: socket.socket) -> None:
        """Take the one message that a rank sends, or its end without one."""
        host, rank, message = "", self._others.pop(connection), b""
        with contextlib.suppress(OSError):
            host = f" on {connection.getpeername()[0]}"
            message = connection.recv(_MESSAGE.size, socket.MSG_WAITALL)
        if self._has_left:
            return
        kind, about = _MESSAGE.unpack(message) if len(message) == _MESSAGE.size else (b"", rank)
        if kind == _FAILED:
            self._tell(_FAILED, about)
            self._failed.set()
            logger.debug("rank %d has failed, and says why: this one ends too", about)
            time.sleep(_GRACE)
            os._exit(1)
        if kind == _DEAD:
            os._exit(1)
        if kind != _LEFT:
            self._end(rank, host)

    def _end(self, rank: int, host: str) -> NoReturn:
        """Say which rank has died, on one of the ranks that are left, and end."""
        self._tell(_DEAD, rank)
        if self.rank in (0, 1) or os.environ.get("LOCAL_RANK") == "0":
            logger.error(
                "rank %d of %d%s has died (killed, perhaps as memory ran out): the others end too. What is written is"
                " complete; the same command goes on from there, a training with --resume",
                *(rank, self.number, host),
            )
        os._exit(1)


def _is_lost_connection(error: BaseException | None) -> bool:
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo/" in str(error))
