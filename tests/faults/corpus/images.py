"""Image files, alone through `predict` and among others through `extract`."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from tests.faults.case import Case, Write, put
from tests.faults.corpus.bytes_of import flipped, no_files, strangers, truncated
from tests.faults.corpus.ports import PORT
from tests.faults.material import Material

__all__ = ["cases"]


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    formats = {path.stem: path.read_bytes() for path in good.made("images", _write).iterdir()}
    predict = ("predict", "--weights", str(good.detection_run), "--input", "x.jpg", "--output", "out")
    extract = ("extract", "--config", str(good.features_config), "--input", ".", "--output", "out")
    extract += ("INPUT.RESIZE", "crop", "INPUT.SIZE", "64", "DATALOADER.BATCH_SIZE", "1")
    sound = formats["png"]
    for reader, words in (("predict", predict), ("extract", extract)):

        def among(write: Write, alone: bool = reader == "predict") -> Write:
            return write if alone else lambda folder: (put("a.png", sound)(folder), write(folder))

        yield Case(f"good_{reader}", words, among(put("x.jpg", formats["jpeg"])), good=True)
        for name, content in strangers():
            yield Case(f"{reader}_{name}", words, among(put("x.jpg", content)), refused=reader == "predict")
        for name, write in no_files("x.jpg"):
            yield Case(f"{reader}_{name}", words, among(write))
        for name, content in _programs().items():
            yield Case(f"{reader}_{name}", words, among(put("x.jpg", content)), refused=reader == "predict")
        for name, content in _headers(sound).items():
            yield Case(f"{reader}_{name}", words, among(put("x.jpg", content)))
        for name, content in sorted(formats.items()):
            yield Case(f"{reader}_format_{name}", words, among(put("x.jpg", content)))
            for cut, part in list(truncated(content, 8))[2:5]:
                yield Case(f"{reader}_format_{name}_{cut}", words, among(put("x.jpg", part)))
            for flip, part in flipped(content, 3, within=200, seed=len(reader)):
                yield Case(f"{reader}_format_{name}_{flip}", words, among(put("x.jpg", part)))


def _write(folder: Path) -> None:
    """Write a sound image of each format that PIL writes."""
    import numpy as np
    from PIL import Image, TiffImagePlugin

    folder.mkdir()
    draw = np.random.default_rng(0)
    image = Image.fromarray(draw.integers(0, 256, (48, 64, 3), np.uint8))
    for name in (
        "JPEG",
        "PNG",
        "BMP",
        "WEBP",
        "TIFF",
        "GIF",
        "JPEG2000",
        "AVIF",
        "PPM",
        "TGA",
        "PCX",
        "ICO",
        "DDS",
        "SGI",
    ):
        image.save(folder / name.lower(), name)
    for name in ("PDF", "EPS", "IM", "ICNS", "MSP", "SPIDER", "XBM", "DIB"):
        kind = {"MSP": "1", "XBM": "1", "SPIDER": "F"}.get(name, "RGB")
        image.convert(kind).save(folder / name.lower(), name)
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "I", "F", "I;16"):
        wide = Image.fromarray(draw.integers(0, 2**16, (48, 64), np.uint16)) if mode == "I;16" else image.convert(mode)
        wide.save(folder / f"tiff_{mode.replace(';', '_')}", "TIFF")
    image.save(folder / "gif_frames", "GIF", save_all=True, append_images=[image] * 20)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = "\x1b[2J=1+1" * 1000
    image.save(folder / "tiff_tags", "TIFF", tiffinfo=tags)
    exif = Image.Exif()
    exif[0x0112] = 77
    image.save(folder / "jpeg_exif", "JPEG", exif=exif)
    not_a_number = draw.normal(size=(48, 64)).astype(np.float32)
    not_a_number[0, 0], not_a_number[0, 1] = np.nan, np.inf
    Image.fromarray(not_a_number).save(folder / "tiff_nan", "TIFF")
    target = io.BytesIO()
    Image.fromarray(np.zeros((15_000, 15_000), np.uint8)).save(target, "PNG")
    (folder / "png_bomb").write_bytes(target.getvalue())
    Image.fromarray(np.zeros((1, 60_000), np.uint8)).save(folder / "png_line", "PNG")
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(folder / "png_pixel", "PNG")


def _programs() -> dict[str, bytes]:
    """Formats for which readers start programs, or fetch further files."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n"
    url = f"http://127.0.0.1:{PORT}/x".encode()
    return {
        "eps": eps + b"(called) (w) file closefile\nshowpage\n%%EOF\n",
        "eps_dos": b"\xc5\xd0\xd3\xc6" + struct.pack("<IIII", 32, len(eps), 0, 0) + bytes(8) + eps,
        "ps_pipe": b"%!PS\n(%pipe%touch called) (w) file\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="' + url + b'"/></svg>',
        "svg_entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><svg>&e;</svg>',
        "msl": b'<image><read filename="' + url + b'"/></image>',
        "mvg": b"push graphic-context\nimage over 0,0 0,0 '" + url + b"'\n",
        "wmf": struct.pack("<IHhhhhHIH", 0x9AC6CDD7, 0, 0, 0, 100, 100, 72, 0, 0) + bytes(100),
        "emf": struct.pack("<II", 1, 108) + bytes(32) + b" EMF" + bytes(100),
        "fpx": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000),
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(500),
        "grib": b"GRIB" + bytes(100),
        "playlist": b"#EXTM3U\n#EXTINF:1,\n" + url + b"\n",
        "xpm": b'/* XPM */\nstatic char *x[] = {"64 48 1 1", "a c #000000"};\n',
        "python": b"import os\nos.system('touch called')\n",
        "shell": b"#!/bin/sh\ntouch called\n",
    }


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, body: bytes, *, depth: int = 8, kind: int = 2, before: bytes = b"") -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


@lru_cache
def _headers(sound: bytes) -> dict[str, bytes]:
    """Images that lie about their size, or unpack to far more than they are."""
    pixels = zlib.compress(bytes(64 * 48 * 3 + 48))
    text = _chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(300_000_000), 9))
    profile = _chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(100_000_000), 9))
    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    gif += b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x44\x01\x00;"
    return {
        "png_huge": _png(2**31 - 1, 2**31 - 1, pixels),
        "png_wide": _png(10**9, 1, pixels),
        "png_zero": _png(0, 0, pixels),
        "png_large": _png(14_000, 14_000, pixels),
        "png_text": _png(64, 48, pixels, before=text),
        "png_profile": _png(64, 48, pixels, before=profile),
        "png_idat": _png(64, 48, zlib.compress(bytes(4 * 10**8), 9)),
        "png_depth": _png(64, 48, pixels, depth=77),
        "png_sums": sound[:40] + b"\0\0\0\0" + sound[44:],
        "png_chunks": _png(64, 48, pixels, before=_chunk(b"teXt", b"x\0y") * 50_000),
        "png_length": sound[:33] + b"\xff\xff\xff\xff" + sound[37:],
        "gif_huge": gif,
        "bmp_huge": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, *[0] * 6),
        "bmp_negative": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, -64, -48, 1, 24, *[0] * 6),
        "ppm_huge": b"P6 100000 100000 255\n" + bytes(100),
        "ppm_long": b"P6 " + b"9" * 5000 + b" 1 255\n",
        "ppm_text": b"P3 64 48 255\n" + b"1 " * 10,
        "pfm": b"PF\n64 48\n-1.0\n" + b"\xff" * (64 * 48 * 12),
        "tiff_huge": _tiff({256: 2**31 - 1, 257: 2**31 - 1, 258: 8, 262: 1, 273: 8, 278: 1, 279: 4}),
        "tiff_offset": _tiff({256: 64, 257: 48, 258: 8, 262: 1, 273: 2**32 - 1, 278: 48, 279: 64 * 48}),
        "tiff_ring": b"II*\0\x08\0\0\0" + b"\0\0" + b"\x08\0\0\0",
        "tiff_tags": b"II*\0\x08\0\0\0" + b"\xff\xff" + bytes(1000),
        "jpeg_huge": b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xd9",
        "jpeg_segments": b"\xff\xd8" + (b"\xff\xfe\xff\xff" + bytes(65533)) * 100 + b"\xff\xd9",
        "jp2_huge": b"\xff\x4f\xff\x51\x00\x2f\x00\x00" + struct.pack(">8I", *[2**31] * 8) + bytes(100),
        "webp_huge": b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0" + b"\x10\0\0\0" + b"\xff" * 6,
        "avif_boxes": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + b"\xff\xff\xff\xffmeta" + bytes(100),
    }


def _tiff(tags: dict[int, int]) -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
