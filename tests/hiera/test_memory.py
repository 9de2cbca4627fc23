"""Memory that is kept: from the first run of a model on a CPU on, unless the environment says otherwise."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from hiera_det import HieraBackbone
from hiera_det.hiera import memory

SMALL = {"embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1), "global_blocks": ()}


@pytest.fixture
def allocated(monkeypatch):
    """Bytes of each allocation, in a process that has made none yet."""
    sizes: list[int] = []
    monkeypatch.setattr(memory.torch, "UntypedStorage", lambda size, device: sizes.append(size))
    memory.keep_memory.cache_clear()
    return sizes


def test_it_is_allocated_once_when_a_model_infers_on_a_cpu(allocated):
    model, x = HieraBackbone("hiera_tiny_224", **SMALL), torch.randn(1, 3, 32, 32)
    model(x)
    model.eval()(x)  # with a graph
    assert allocated == []
    with torch.no_grad():
        for _ in range(2):
            model(x)
    assert allocated == [31 * 2**20]


@pytest.mark.parametrize(("value", "expected"), [("0", []), ("1", [31 * 2**20])])
def test_the_environment_turns_it_off(value, expected, allocated, monkeypatch):
    monkeypatch.setenv("HIERA_DET_KEEP_MEMORY", value)
    memory.keep_memory()
    assert allocated == expected


PROGRAM = """if True:
    import ctypes
    libc = ctypes.CDLL("libc.so.6")
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    class Info(ctypes.Structure):  # glibc's struct mallinfo2
        _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b c d e".split()]
    libc.mallinfo2.restype = Info
    def is_mapped():  # 20 MiB are given back to the system as soon as they are freed; here they never are
        before = libc.mallinfo2().hblkhd
        libc.malloc(20 * 2**20)
        return libc.mallinfo2().hblkhd > before

    import torch
    from hiera_det import HieraBackbone, build_hiera, load_weights
    print(is_mapped())
    model = HieraBackbone("hiera_tiny_224", embed_dim=8, stages=(1, 1, 1, 1), global_blocks=()).eval()
    with torch.no_grad():
        model(torch.randn(1, 3, 32, 32))
    print(is_mapped())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="how memory is kept is glibc's")
@pytest.mark.parametrize(("value", "expected"), [("", ["True", "False"]), ("0", ["True", "True"])])
def test_import_changes_nothing_and_the_first_run_does(value, expected, monkeypatch):
    monkeypatch.setenv("HIERA_DET_KEEP_MEMORY", value)
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected
