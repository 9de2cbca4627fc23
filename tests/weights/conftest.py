"""Other packages' own models, small or of a published variant; a server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import torch
from torch import nn

from hiera_det.hiera.variants import VARIANTS

SMALL = {"embed_dim": 16, "num_heads": 1, "stages": (1, 2, 2, 1)}
VIDEO = {
    "input_size": (4, 64, 64),
    "q_stride": (1, 2, 2),
    "mask_unit_size": (1, 8, 8),
    "patch_kernel": (3, 7, 7),
    "patch_stride": (2, 4, 4),
    "patch_padding": (1, 3, 3),
    "sep_pos_embed": True,
}
DECODER = {"decoder_embed_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2}


class References:
    """Models of other packages: ``small``, at 64 x 64 with 7 classes, or of a variant, for 224 x 224."""

    small = SMALL
    video = VIDEO

    @staticmethod
    def original(arguments: dict[str, Any]) -> nn.Module:
        """``hiera.Hiera``."""
        return pytest.importorskip("hiera").Hiera(**{"input_size": (64, 64), "num_classes": 7, **arguments})

    @staticmethod
    def mae(arguments: dict[str, Any]) -> nn.Module:
        """``hiera.MaskedAutoencoderHiera``, which pools twice."""
        mae = pytest.importorskip("hiera.hiera_mae").MaskedAutoencoderHiera
        return mae(**{"input_size": (64, 64), "q_pool": 2, **DECODER, **arguments})

    @staticmethod
    def timm(arguments: dict[str, Any]) -> nn.Module:
        """``timm.models.hiera.Hiera``."""
        arguments = {"input_size": (64, 64), "num_classes": 7, **arguments}
        return pytest.importorskip("timm.models.hiera").Hiera(img_size=arguments.pop("input_size"), **arguments)

    @staticmethod
    def sam2(arguments: dict[str, Any]) -> nn.Module:
        """``HieraDet`` of timm: SAM 2's trunk, but for the names of its MLPs."""
        det = pytest.importorskip("timm.models.hieradet_sam2").HieraDet
        return det(**{"num_classes": 0, "window_spec": (8, 4, 6, 3), "global_att_blocks": (4,), **arguments})

    @staticmethod
    def sam2_transformers(arguments: dict[str, Any]) -> nn.Module:
        """``Sam2HieraDetModel``."""
        transformers = pytest.importorskip("transformers")
        model = pytest.importorskip("transformers.models.sam2.modeling_sam2").Sam2HieraDetModel
        width, heads = arguments["embed_dim"], arguments["num_heads"]
        config = transformers.Sam2HieraDetConfig(
            hidden_size=width,
            num_attention_heads=heads,
            blocks_per_stage=list(arguments["stages"]),
            embed_dim_per_stage=[width * 2**i for i in range(4)],
            num_attention_heads_per_stage=[heads * 2**i for i in range(4)],
            window_size_per_stage=[8, 4, 6, 3],
            global_attention_blocks=[4],
        )
        return model(config)

    @staticmethod
    def transformers(arguments: dict[str, Any], name: str = "HieraForImageClassification", **others: Any) -> nn.Module:
        """The class of that name."""
        package = pytest.importorskip("transformers")
        arguments = {"input_size": (64, 64), "num_classes": 7, **arguments}
        config = package.HieraConfig(
            embed_dim=arguments["embed_dim"],
            depths=list(arguments["stages"]),
            num_heads=[arguments["num_heads"] * 2**i for i in range(4)],
            image_size=list(arguments["input_size"]),
            num_labels=arguments["num_classes"],
            **others,
        )
        return getattr(package, name)(config)

    @staticmethod
    def variant(name: str) -> dict[str, Any]:
        """The arguments of a published variant, as the classes above take them."""
        arguments = {"input_size": (224, 224), "num_classes": 1000, **VARIANTS[name]}
        arguments.pop("global_blocks")
        return arguments


@pytest.fixture
def references() -> References:
    return References()


@pytest.fixture
def on_meta(monkeypatch):
    """A context in which models are built without their numbers, but for a range that the original reads on the way."""
    linspace = torch.linspace
    monkeypatch.setattr(torch, "linspace", lambda *args, **kwargs: linspace(*args, **{**kwargs, "device": "cpu"}))
    return lambda: torch.device("meta")


@pytest.fixture
def saved(tmp_path):
    """``saved(model, "x.pth", "model")``: a file with the model's state dict, under a key if there is one."""

    def save(model: nn.Module | dict, name: str, key: str = "") -> str:
        state = model if isinstance(model, dict) else model.state_dict()
        torch.save({key: state} if key else state, tmp_path / name)
        return str(tmp_path / name)

    return save


@dataclass
class Server:
    """What is served, and what was asked for.

    Attributes:
        url: its address.
        files: bytes by path, "/model.pth" for example.
        headers: sent with every answer; ETag by default.
        ranges: whether it can continue a download.
        announces: whether it sends Content-Length.
        elsewhere: where it continues a download; None: where it is asked to.
        cut: after so many bytes of an answer the connection is closed.
        missing: status and headers for a path that is not there.
        asked: method, path and "Range" of each request.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    ranges: bool = True
    announces: bool = True
    elsewhere: int | None = None
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
        if start and self.elsewhere is not None:
            start = self.elsewhere
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
