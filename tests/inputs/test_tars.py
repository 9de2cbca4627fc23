from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from hiera_det.inputs.find import find_items
from hiera_det.inputs.tars import expand_braces, images_of_tar

NAMES = ["b/2.jpg", "b/2.json", "a.left.PNG", "._a.png", "b/.x.jpg", "c.cls"]


@pytest.fixture
def pack(tmp_path):
    """Writes a tar of members {name: content}."""

    def _pack(members, name="s.tar", mode="w", file_format=tarfile.PAX_FORMAT):
        path = tmp_path / name
        with tarfile.open(path, mode, format=file_format) as tar:
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return str(path)

    return _pack


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("s-{008..011}.tar", ["s-008.tar", "s-009.tar", "s-010.tar", "s-011.tar"]),
        ("{1..1}", ["1"]),
        ("{0..1}-{2..3}.tar", ["0-2.tar", "0-3.tar", "1-2.tar", "1-3.tar"]),
        ("{a..b}.tar", ["{a..b}.tar"]),
    ],
)
def test_expand_braces(pattern, names):
    assert expand_braces(pattern) == names


def test_braces_that_go_backward():
    with pytest.raises(ValueError, match=r"s-\{3\.\.1\}\.tar: the range 3\.\.1 goes backward"):
        expand_braces("s-{3..1}.tar")


@pytest.mark.parametrize("file_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_in_their_order(pack, file_format):
    contents = {name: name.encode() * 200 for name in NAMES}
    contents["long/" + "x" * 90 + ".bmp"] = b"1"
    path = pack(contents, file_format=file_format)
    items = images_of_tar(path)
    assert [item.id for item in items] == ["b/2.jpg", "a.left.PNG", "long/" + "x" * 90 + ".bmp"]
    raw = Path(path).read_bytes()
    for item in items:
        assert (item.path, item.member) == (path, item.id)
        assert raw[item.offset : item.offset + item.length] == contents[item.id]


def test_names_beyond_ascii_and_ustar(pack):
    name = "ä/" + "long" * 60 + ".jpg"
    assert [item.id for item in images_of_tar(pack({name: b"x"}))] == [name]


def test_a_tar_by_gnu_tar(tmp_path):
    (tmp_path / "in" / "folder.jpg").mkdir(parents=True)
    (tmp_path / "in" / "a.jpg").write_bytes(b"picture")
    subprocess.run(["tar", "-cf", tmp_path / "s.tar", "-C", tmp_path / "in", "."], check=True)
    (item,) = images_of_tar(str(tmp_path / "s.tar"))
    assert item.id == "./a.jpg"
    assert (tmp_path / "s.tar").read_bytes()[item.offset :].startswith(b"picture")


def test_links_are_counted(pack, caplog):
    path = pack({"a.jpg": b"x"})
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("b.jpg")
        link.type, link.linkname = tarfile.LNKTYPE, "a.jpg"
        tar.addfile(link)
    assert [item.id for item in images_of_tar(path)] == ["a.jpg"]
    assert "1 links to images are left out" in caplog.text


def test_a_sparse_member(tmp_path):
    with open(tmp_path / "a.jpg", "wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"x")
    subprocess.run(["tar", "-cSf", tmp_path / "s.tar", "-C", tmp_path, "a.jpg"], check=True)
    with pytest.raises(ValueError, match=r"'a\.jpg' is stored sparse; pack it without --sparse"):
        images_of_tar(str(tmp_path / "s.tar"))


def test_no_images(pack):
    with pytest.raises(ValueError, match=r"s\.tar: no image among its 2 members; looked for \.jpg"):
        images_of_tar(pack({"a.json": b"{}", "a.mp4": b""}))


@pytest.mark.parametrize(("name", "mode", "kind"), [("s.tar", "w:gz", "gzip"), ("t.tar", "w:xz", "xz")])
def test_compressed(pack, name, mode, kind):
    with pytest.raises(ValueError, match=rf"{name} is compressed \({kind}\).*unpack it to a \.tar"):
        images_of_tar(pack({"a.jpg": b"x"}, name, mode))


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (0, "its beginning"),
        (300, "its beginning"),
        (512, r"member '0\.jpg'"),  # before its data
        (1023, r"member '0\.jpg'"),  # one byte of its block is missing
        (1024, r"member '0\.jpg'"),  # whole, but there must be more
        (1300, r"member '0\.jpg'"),  # in the next header
        (2000, r"member '1\.jpg'"),
        (3072, r"member '2\.jpg'"),  # all is there but the end mark
    ],
)
def test_cut_off(pack, end, last):
    path = pack({f"{i}.jpg": bytes([i]) * 512 for i in range(3)}, file_format=tarfile.USTAR_FORMAT)
    with open(path, "r+b") as file:
        file.truncate(end)
    with pytest.raises(ValueError, match=rf"s\.tar \({end} bytes\) is cut off or damaged at or behind {last}: "):
        images_of_tar(path)


def test_a_damaged_header_is_not_the_end(pack):
    path = pack({f"{i}.jpg": b"x" for i in range(3)}, file_format=tarfile.USTAR_FORMAT)
    with open(path, "r+b") as file:
        file.seek(1024)
        file.write(b"!")
    with pytest.raises(ValueError, match=r"damaged at or behind member '0\.jpg': no end mark"):
        images_of_tar(path)


def test_no_tar_file(tmp_path):
    (tmp_path / "s.tar").write_text("not an archive" * 100)
    with pytest.raises(ValueError, match=r"s\.tar \(1400 bytes\) is cut off or damaged at or behind its beginning"):
        images_of_tar(str(tmp_path / "s.tar"))


def _joined(pack, *archives: dict[str, bytes], between: bytes = b"") -> str:
    """Archives one behind the other, as ``cat a.tar b.tar`` puts them."""
    parts = [Path(pack(members, f"{number}.tar")).read_bytes() for number, members in enumerate(archives)]
    path = Path(pack({}, "all.tar"))
    path.write_bytes(between.join(parts))
    return str(path)


@pytest.mark.parametrize("zeros", [0, 512, 7 * 512, 1 << 21])
def test_archives_one_behind_another(pack, zeros):
    contents = {"a.jpg": b"1" * 600, "b.jpg": b"2", "c.jpg": b"3", "d.png": b"4" * 512}
    two = {name: contents[name] for name in ("a.jpg", "b.jpg")}
    path = _joined(pack, two, {"c.jpg": b"3"}, {}, {"d.png": b"4" * 512}, between=bytes(zeros))
    items = images_of_tar(path)
    assert [item.id for item in items] == list(contents)
    raw = Path(path).read_bytes()
    assert [raw[item.offset : item.offset + item.length] for item in items] == list(contents.values())


def test_a_lone_block_of_zeros(pack):
    """As GNU tar names it: an end mark is of two."""
    first = Path(pack({"a.jpg": b"1"}, "0.tar", file_format=tarfile.USTAR_FORMAT)).read_bytes()[:1024]
    path = Path(pack({"b.jpg": b"2"}, "1.tar"))
    path.write_bytes(first + bytes(512) + path.read_bytes())
    assert [item.id for item in images_of_tar(str(path))] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("rest", [b"!", b"<html>" * 200, b"\0" * 100 + b"x"])
def test_what_is_no_archive_behind_the_end(pack, rest):
    path = Path(pack({"a.jpg": b"1"}))
    content = path.read_bytes()
    path.write_bytes(content + rest)
    message = rf"at or behind member 'a\.jpg': {len(rest)} bytes at byte {len(content)}, behind an end mark, are no"
    with pytest.raises(ValueError, match=message):
        images_of_tar(str(path))


def test_a_second_archive_that_is_cut_off(pack):
    path = Path(_joined(pack, {"a.jpg": b"1"}, {"b.jpg": b"2", "c.jpg": b"3"}))
    path.write_bytes(path.read_bytes()[:-9200])
    with pytest.raises(ValueError, match=r"is cut off or damaged at or behind member 'b\.jpg'"):
        images_of_tar(str(path))


def test_a_name_that_comes_twice(pack):
    path = _joined(pack, {"a.jpg": b"1"}, {"a.jpg": b"2"})
    with pytest.raises(ValueError, match=r"all\.tar holds 'a\.jpg' twice, at bytes \d+ and \d+; pack it again"):
        find_items([path])


def test_the_trial(shared_data):
    path = shared_data.parent / "trials" / "tar" / "cat.tar"
    if not path.is_file():
        pytest.skip(f"no trial at {path}")
    names = [item.id for item in images_of_tar(str(path))]
    assert names == ["./img_0.jpg", "./sub/img_0.jpg", "sub/img_0.jpg", "img_1.jpg"]


def _header(name, size=0, kind=b"0", size_field=None):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    header = bytearray(info.create_gnu_header(info.get_info(), "utf-8", "surrogateescape"))
    if size_field is not None:
        header[124:136] = size_field
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _pax(content, kind=b"x"):
    return _header("pax", len(content), kind) + content.ljust(-(-len(content) // 512) * 512, b"\0")


def _field(key, value):
    length = len(key) + len(value) + 3
    while len(field := f"{length} {key}={value}\n") != length:
        length += 1
    return field.encode()


GOOD = _header("good.jpg", 3) + b"abc".ljust(512, b"\0")
LAST = _header("b.jpg") + bytes(1024)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_header("b.jpg", 8 * 2**30 - 1), "its 8589934591 bytes do not fit into the file"),
        (_header("b.jpg", size_field=b"\xff" * 12), "its -1 bytes"),
        (_header("b.jpg", size_field=b"\x80" + b"\x7f" * 11), "bytes do not fit"),
        (_pax(_field("size", "9" * 20)), "bytes do not fit"),
        (_pax(_field("size", "-2048")), "its -2048 bytes"),  # the header before it would come again and again
        (_pax(_field("path", "x.jpg")) * 900, "recursion"),
        (_pax(b"1" * 60_000), "a number of 100 digits"),
        (_header("pax", 2**30, b"x"), "headers of more than 65536 bytes"),
        (_header("name", 2**30, b"L"), "headers of more than 65536 bytes"),
        (_pax(b"".join(_field(f"k{i}", "v") for i in range(2000)), b"g"), "more than 1000 fields"),
        (_pax(_field("GNU.sparse.map", "1,2,x")), "invalid literal"),
        (_pax(_field("GNU.sparse.major", "1") + _field("GNU.sparse.minor", "0")), "values to unpack"),
    ],
)
def test_hostile_headers(tmp_path, content, message):
    (tmp_path / "s.tar").write_bytes(GOOD + content + LAST)
    with pytest.raises(ValueError, match=rf"s\.tar .* is cut off or damaged at or behind member .*{message}"):
        images_of_tar(str(tmp_path / "s.tar"))


def test_zeros_without_end(tmp_path):
    with open(tmp_path / "s.tar", "wb") as file:
        file.write(GOOD + bytes(1024))
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="zeros behind an end mark"):
        images_of_tar(str(tmp_path / "s.tar"))


def test_nothing_is_written_where_members_lead_out_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outside = _header("../../x.jpg", 3) + b"abc".ljust(512, b"\0") + _header("/etc/x.jpg", 0, b"2")
    (tmp_path / "s.tar").write_bytes(outside + _header("d.jpg", 0, b"3") + _header("p.jpg", 0, b"6") + bytes(1024))
    assert [item.id for item in images_of_tar(str(tmp_path / "s.tar"))] == ["../../x.jpg"]
    assert [path.name for path in tmp_path.iterdir()] == ["s.tar"]


@pytest.mark.parametrize("pattern", ["t-{0..9999999999}.tar", "t" + "{0..9}" * 6 + ".tar"])
def test_more_names_than_there_is_room_for(pattern):
    with pytest.raises(ValueError, match=r"stands for \d+ names, expected at most 100000"):
        expand_braces(pattern)
    assert expand_braces("{0..0}" * 2000) == ["0" * 2000]
    assert expand_braces("{0.." + "9" * 30 + "}") == ["{0.." + "9" * 30 + "}"]
