"""A web server on loopback that behaves, or misbehaves, as a test wants."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Server:
    """What is served, and what was asked for.

    Attributes:
        url: its address.
        files: bytes by path, "/model.pth" for example.
        headers: sent with every answer; ETag by default.
        ranges: whether it can continue a download.
        announces: whether it sends Content-Length.
        cut: after so many bytes of an answer the connection is closed.
        missing: status and headers for a path that is not there.
        asked: method, path and "Range" of each request.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    ranges: bool = True
    announces: bool = True
    cut: int | None = None
    missing: tuple[int, dict[str, str]] = (404, {})
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked_range = request.headers.get("Range")
        self.asked.append((request.command, request.path, asked_range))
        body = self.files.get(request.path)
        if body is None:
            return self._send(request, self.missing[0], self.missing[1], b"")
        start = int(asked_range.removeprefix("bytes=").rstrip("-")) if asked_range and self.ranges else 0
        if start >= len(body) > 0:
            return self._send(request, 416, {}, b"")
        span = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        self._send(request, 206 if start else 200, {**self.headers, **span}, body[start:])

    def _send(self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if self.announces:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body[: self.cut])
        request.close_connection = True


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    for name in "no_proxy", "NO_PROXY":
        monkeypatch.setenv(name, "127.0.0.1")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.answer(self)

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_address[1]}"
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield state
        http.shutdown()


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    """torch.hub's cache, empty: the folder in which files lie."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch home"))
    return tmp_path / "torch home" / "hub" / "checkpoints"
