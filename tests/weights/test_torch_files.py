"""Files of torch.save: what torch.load gives, or one line that says why not."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch

from hiera_det.weights.unpickle.torchfile import read_torch_file
from tests.faults.corpus.torch_files import Stored, crafted, pickled, tensor

BASE = torch.arange(24.0).reshape(4, 6)
MODULE = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
VALUES = {
    "whole": BASE,
    "turned": BASE.T,
    "part": BASE[1:3, ::2],
    "single": torch.tensor(3.0),
    "empty": torch.zeros(0, 5),
    "parameter": torch.nn.Parameter(torch.ones(3)),
    "state": MODULE.state_dict(),
    "types": [torch.ones(3, dtype=kind) for kind in (torch.bool, torch.int8, torch.half, torch.bfloat16, torch.long)],
    "complex": torch.ones(2, dtype=torch.complex64),
    "plain": [1, -(2**40), 2**70, 2.5, "ü", b"\xff", None, True, 1j, (1, {2}), OrderedDict(a=1), bytearray(b"x")],
    "numbers": {0: {"step": torch.tensor(5.0)}, (1, 2): 3},
    "size": BASE.shape,
    "type": torch.float16,
    "milestones": Counter({30: 1}),
}


def same(one: object, other: object) -> None:
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor)
        assert (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride())
        assert one.tolist() == other.tolist()
    elif isinstance(one, dict):
        assert list(one) == list(other)
        same(list(one.values()), list(other.values()))
    elif isinstance(one, list):
        for pair in zip(one, other, strict=True):
            same(*pair)
    else:
        assert (type(one), one) == (type(other), other)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", VALUES)
def test_as_torch_reads_it(name, zipped, tmp_path):
    path = tmp_path / "x.pth"
    torch.save(VALUES[name], path, _use_new_zipfile_serialization=zipped)
    same(read_torch_file(path), torch.load(path, weights_only=True))


def test_types_that_have_no_storage_of_their_own(tmp_path):
    tensors = [torch.ones(3).to(kind) for kind in (torch.uint16, torch.float8_e4m3fn)]
    torch.save(tensors, tmp_path / "x.pth")
    same(read_torch_file(tmp_path / "x.pth"), tensors)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_protocols(protocol, tmp_path):
    torch.save(VALUES, tmp_path / "x.pth", pickle_protocol=protocol)
    same(read_torch_file(tmp_path / "x.pth"), VALUES)


def test_tensors_that_share_memory_still_do(tmp_path):
    torch.save({"a": BASE, "b": BASE[1]}, tmp_path / "x.pth")
    found = read_torch_file(tmp_path / "x.pth")
    found["a"][1] = 7
    assert (found["b"] == 7).all()


@pytest.fixture
def good(tmp_path) -> Path:
    torch.save({"model": {"a": BASE, "b": torch.ones(3)}}, tmp_path / "x.pth")
    return tmp_path / "x.pth"


def rewritten(path: Path, change) -> None:
    """Write the archive anew: `change` gets each entry's name and bytes, and gives what `writestr` takes."""
    with zipfile.ZipFile(path) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries:
            for words in change(name, content):
                archive.writestr(*words)


CHANGES = {
    "deflated": (lambda name, content: [(name, content, zipfile.ZIP_DEFLATED)], "it is compressed or encrypted"),
    "no storage": (lambda name, content: [] if name == "x/data/0" else [(name, content)], "an entry .* is not there"),
    "no pickle": (lambda name, content: [] if name == "x/data.pkl" else [(name, content)], "no data.pkl, or several"),
    "two": (lambda name, content: [(name, content), (name.replace("x", "y", 1), content)], "no data.pkl, or several"),
    "short": (lambda name, content: [(name, content[:-1] if name == "x/data/0" else content)], "has another size"),
    "script": (
        lambda name, content: [(name.replace("x/version", "x/constants.pkl"), content)],
        "TorchScript",
    ),
    "order": (lambda name, content: [(name, b"big" if name == "x/byteorder" else content)], "another byte order"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_archives_that_torch_does_not_write(change, message, good):
    rewritten(good, change)
    with pytest.raises(ValueError, match=message):
        read_torch_file(good)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name(good):
    rewritten(good, lambda name, content: [(name, content)] * 2)
    with pytest.raises(ValueError, match="two entries of the same name"):
        read_torch_file(good)


def test_entries_over_one_another(good):
    """Each within the file, together larger."""
    with zipfile.ZipFile(good, "a") as archive:
        first = archive.getinfo("x/data/0")
        for number in range(200):
            info = zipfile.ZipInfo(f"x/data/9{number}")
            info.header_offset, info.CRC = first.header_offset, first.CRC
            info.file_size = info.compress_size = first.file_size
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
        archive._didModify = True
    with pytest.raises(ValueError, match="its entries are together larger than the file"):
        read_torch_file(good)


def test_encrypted(good):
    content = bytearray(good.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    good.write_bytes(content)
    with pytest.raises(ValueError, match="it is compressed or encrypted"):
        read_torch_file(good)


@pytest.mark.parametrize("zipped", [True, False])
def test_expanded_tensors_are_refused(zipped, tmp_path):
    torch.save({"a": torch.zeros(1).expand(3)}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"larger than what is stored of it; save it with \.contiguous"):
        read_torch_file(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (((5,), (1,)), "larger than what is stored"),
        (((2,), (4,)), "larger than what is stored"),
        (((2,), (1,), 3), "larger than what is stored"),
        (((2,), (1,), -1), "no size, stride and offset that fit"),
        (((2,), ()), "no size, stride and offset that fit"),
        (((-2,), (1,)), "a size or stride that is no number of 63 bits"),
        (((2,), (-1,)), "a size or stride that is no number of 63 bits"),
        (((2**62, 2**62), (1, 1)), "larger than what is stored"),
        (((0, 2**62), (1, 1)), "out of all proportion"),
    ],
)
def test_tensors_lie_within_their_storage(words, message, tmp_path):
    (tmp_path / "x.pth").write_bytes(crafted({"a": tensor(*words)}))
    with pytest.raises(ValueError, match=message):
        read_torch_file(tmp_path / "x.pth")


def test_a_storage_has_one_size(tmp_path):
    (tmp_path / "x.pth").write_bytes(crafted([tensor((4,), (1,)), tensor((2,), (1,), stored=Stored(2))]))
    with pytest.raises(ValueError, match="a storage has two types or sizes"):
        read_torch_file(tmp_path / "x.pth")


@pytest.mark.parametrize("change", [1, -1, 1 << 40])
def test_storages_of_old_files_have_their_sizes(change, tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"a": torch.zeros(77)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    path.write_bytes(content.replace((77).to_bytes(8, "little"), (77 + change).to_bytes(8, "little")))
    with pytest.raises(ValueError, match="a storage has another size"):
        read_torch_file(path)


def test_a_pickle_is_no_such_file(tmp_path):
    (tmp_path / "x.pth").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match=r"does not begin as a file of torch\.save"):
        read_torch_file(tmp_path / "x.pth")


def test_old_files_hold_what_they_name(tmp_path):
    """Else a tensor would have whatever was in that memory before."""
    begin = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))
    value, path = pickled({"a": tensor((4,), (1,))}), tmp_path / "x.pth"
    path.write_bytes(begin + value + pickle.dumps([], 2))
    with pytest.raises(ValueError, match="1 storages are not there"):
        read_torch_file(path)
    path.write_bytes(begin + value + pickle.dumps(["0"], 2) + (4).to_bytes(8, "little") + bytes(15))
    with pytest.raises(ValueError, match="it ends within a storage"):
        read_torch_file(path)
    path.write_bytes(begin + value + pickle.dumps(["0"], 2) + (4).to_bytes(8, "little") + bytes(16))
    assert read_torch_file(path)["a"].tolist() == [0, 0, 0, 0]
    path.write_bytes(begin + pickled({"a": tensor((4,), (1,), stored=Stored(10**12))}) + pickle.dumps([], 2))
    with pytest.raises(ValueError, match="its storages are larger than the file"):
        read_torch_file(path)


def test_a_large_directory_is_not_read(tmp_path):
    size = 17 << 20
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, size, 4, 0)
    (tmp_path / "x.pth").write_bytes(b"PK\x03\x04" + bytes(size) + end)
    with pytest.raises(ValueError, match=f"its directory has {size} bytes, expected at most"):
        read_torch_file(tmp_path / "x.pth")
