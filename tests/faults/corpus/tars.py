"""Tar files and patterns of their names, through `extract`."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator

from tests.faults.case import Case, put
from tests.faults.corpus.bytes_of import flipped, no_files, strangers, truncated
from tests.faults.material import Material

__all__ = ["cases"]


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    image = next((good.pictures / "a").iterdir()).read_bytes()
    data = _tar(lambda tar: _members(tar, image))
    words = ("extract", "--config", str(good.features_config), "--output", "out", "--input")
    yield Case("good", (*words, "x.tar"), put("x.tar", data), good=True)
    for name, content in (*strangers(), *truncated(data, 14)):
        yield Case(name, (*words, "x.tar"), put("x.tar", content), refused=len(content) < len(data.rstrip(b"\0")))
    for name, write in no_files("x.tar"):
        yield Case(name, (*words, "x.tar"), write)
    for name, content in flipped(data, 25, within=3000):
        yield Case(name, (*words, "x.tar"), put("x.tar", content))
    for name, content in _archives(image).items():
        yield Case(f"tar_{name}", (*words, "x.tar"), put("x.tar", content))
    for name, pattern in _PATTERNS.items():
        yield Case(f"pattern_{name}", (*words, pattern), put("x-000.tar", data), refused=True)
    for name, pattern in _GLOBS.items():
        yield Case(f"glob_{name}", (*words, pattern), put("x/a.png", image))


_PATTERNS = {
    "long": "x-{0..99999999999}.tar",
    "product": "x-{0..99999}{0..99999}.tar",
    "product_of_many": "x" + "{0..9}" * 30 + ".tar",
    "digits": "x-{" + "0" * 5000 + ".." + "9" * 5000 + "}.tar",
    "endless": "x-{0.." + "9" * 500 + "}.tar",
    "backward": "x-{9..0}.tar",
    "negative": "x-{-5..5}.tar",
    "open": "x-{0..",
    "nested": "x-{0..{0..9}}.tar",
    "many_braces": "{" * 10_000 + "0..1}.tar",
    "nul": "x-\0.tar",
}
_GLOBS = {
    "stars": "**/" * 30 + "*.png",
    "stars_inside": "*a" * 40 + ".png",
    "set": "[" * 500 + "a.png",
    "up": "../" * 5 + "*.nothing",
    "control": "x/\x1b[2J*.png",
}


def _tar(fill: Callable[[tarfile.TarFile], None], kind: int = tarfile.PAX_FORMAT, **options: object) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=kind, **options) as tar:  # type: ignore[call-overload]
        fill(tar)
    return target.getvalue()


def _add(
    tar: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: object
) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(content))


def _members(tar: tarfile.TarFile, image: bytes) -> None:
    for number in range(3):
        _add(tar, f"{number:03d}.png", image)


def _archives(image: bytes) -> dict[str, bytes]:
    names = {
        "above": "../../../x.png",
        "absolute": "/etc/x.png",
        "nul_path": "a/../../b.png",
        "escape": "\x1b[2J\r\n.png",
        "formula": "=1+1.png",
        "html": "<script>.png",
        "surrogate": "\udcff.png",
        "long": "x" * 100_000 + ".png",
        "slashes": "/" * 500 + "x.png",
        "dot": "./.png",
        "comma": '",x\n.png',
    }
    found = {f"name_{name}": _tar(lambda tar, n=value: _add(tar, n, image)) for name, value in names.items()}
    kinds = {"symlink": tarfile.SYMTYPE, "link": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE}
    for name, kind in kinds.items():
        found[name] = _tar(
            lambda tar, k=kind: (_add(tar, "a.png", image), _add(tar, "b.png", b"", k, linkname="/etc/passwd"))
        )
    pax = {
        "size": {"size": str(10**15)},
        "size_negative": {"size": "-5"},
        "size_text": {"size": "abc"},
        "size_long": {"size": "9" * 5000},
        "path": {"path": "/etc/passwd"},
        "mtime": {"mtime": "1e999"},
        "mtime_text": {"mtime": "x"},
        "charset": {"hdrcharset": "BINARY", "path": "\udcff.png"},
        "many": {f"x.{number}": "y" for number in range(20_000)},
        "long": {"comment": "x" * 5_000_000},
        "sparse": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(10**15)},
        "sparse_map": {"GNU.sparse.map": "0,1," * 5000 + "x"},
        "sparse_size": {"GNU.sparse.size": "x"},
    }
    for name, headers in pax.items():
        found[f"pax_{name}"] = _tar(lambda tar, h=headers: _add(tar, "a.png", image, pax_headers=h))
    found["pax_global"] = _tar(lambda tar: _add(tar, "a.png", image), pax_headers={"path": "b.png", "size": "7"})
    sound = _tar(lambda tar: _members(tar, image))
    found["size_octal"] = _header(sound, 124, b"77777777777\0")
    found["size_binary"] = _header(sound, 124, b"\x80" + b"\xff" * 11)
    found["size_negative"] = _header(sound, 124, b"\xff" * 12)
    found["size_text"] = _header(sound, 124, b"zzzzzzzzzzz\0")
    found["pax_length"] = _header(_tar(lambda tar: _add(tar, "x" * 200 + ".png", image)), 124, b"00000000003\0")
    found["many_members"] = _tar(lambda tar: [_add(tar, f"{n}.txt") for n in range(20_000)] and _members(tar, image))
    found["same_names"] = _tar(lambda tar: (_add(tar, "a.png", image), _add(tar, "a.png", image)))
    found["tar_in_tar"] = _tar(lambda tar: _add(tar, "x.tar", sound))
    found["no_images"] = _tar(lambda tar: _add(tar, "x.txt", b"x"))
    found["bad_image"] = _tar(
        lambda tar: (_add(tar, "a.png", image), _add(tar, "b.png", b"%!PS\n"), _add(tar, "c.png"))
    )
    found["long_link"] = _tar(lambda tar: _add(tar, "x" * 3000 + ".png", image), tarfile.GNU_FORMAT)
    found["nul_behind"] = sound + bytes(50_000_000)
    found["two"] = sound + _tar(lambda tar: _add(tar, "z.png", image))
    found["strange_behind"] = sound + b"x" * 5000
    return found


def _header(data: bytes, place: int, value: bytes) -> bytes:
    """The first header with another field, and its sum made right."""
    head = bytearray(data[:512])
    head[place : place + len(value)] = value
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data[512:]
