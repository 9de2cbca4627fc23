"""Downloads from a server on loopback: whole, continued, broken off, changed meanwhile, wrong."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from hiera_det.weights import download as module
from hiera_det.weights.download import cached_file, download
from hiera_det.weights.zoo import PUBLISHED, ZOO

CONTENT = bytes(range(256)) * 64  # 16 KiB
OTHER = CONTENT[::-1]
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def url(server, torch_home) -> str:
    server.files["/run/model.pth"] = CONTENT
    return f"{server.url}/run/model.pth"


def parts(url: str) -> list:
    return list(cached_file(url).parent.glob("*.part"))


def broken_off(server, url: str, after: int = 5000) -> None:
    server.cut = after
    with pytest.raises(FileNotFoundError):
        download(url)
    server.cut = None
    server.asked.clear()


def test_a_whole_file_comes_once(server, torch_home, url):
    path = download(url)
    assert path == cached_file(url) and torch_home in path.parents and path.read_bytes() == CONTENT
    assert not parts(url)
    assert download(url) == path and len(server.asked) == 1


def test_torch_hub_finds_and_leaves_the_originals_files_in_the_same_place(server, torch_home, monkeypatch):
    file = f"{PUBLISHED}hiera_tiny_224.pth"
    assert cached_file(file) == torch_home / "hiera_tiny_224.pth"
    assert cached_file(ZOO["sam2.1_hiera_tiny"]) == torch_home / "sam2.1_hiera_tiny.pt"
    torch_home.mkdir(parents=True)
    torch.save({"model_state": {}}, torch_home / "hiera_tiny_224.pth")
    assert download(file) == torch_home / "hiera_tiny_224.pth"  # nothing is asked of the network
    assert torch.hub.load_state_dict_from_url(file) == {"model_state": {}}


@pytest.mark.parametrize("changed", ["/other/model.pth", "/run/model.pth?version=2"])
def test_files_of_one_name_are_not_taken_for_one_another(server, url, changed):
    server.files[changed] = OTHER
    assert download(url).read_bytes() == CONTENT
    assert download(server.url + changed).read_bytes() == OTHER
    assert download(url).name == download(server.url + changed).name == "model.pth"


def test_what_was_broken_off_is_continued(server, url):
    server.cut = 5000
    with pytest.raises(FileNotFoundError, match=r"the connection ended after 5000 of 16384 bytes\); run it again"):
        download(url)
    assert not cached_file(url).exists() and [p.stat().st_size for p in parts(url)] == [5000]
    server.cut = None
    assert download(url).read_bytes() == CONTENT
    assert server.asked[-1][2] == "bytes=5000-" and not parts(url)


def test_it_may_break_off_again(server, url):
    broken_off(server, url)
    broken_off(server, url)
    assert [p.stat().st_size for p in parts(url)] == [10000]
    assert download(url).read_bytes() == CONTENT and server.asked[0][2] == "bytes=10000-"


def test_a_server_that_cannot_continue_sends_all(server, url):
    server.ranges = False
    broken_off(server, url)
    assert download(url).read_bytes() == CONTENT and not parts(url)


@pytest.mark.parametrize("tag", ["ETag", "Last-Modified"])
def test_a_file_that_changed_meanwhile_is_not_pieced_together(server, url, tag):
    server.headers = {tag: "one"}
    broken_off(server, url)
    server.files["/run/model.pth"], server.headers = OTHER, {tag: "two"}
    assert download(url).read_bytes() == OTHER
    assert server.asked[0][2] == "bytes=5000-" and not parts(url)


def test_nor_is_one_of_another_length(server, url):
    broken_off(server, url)
    server.files["/run/model.pth"] = CONTENT + b"more"
    assert download(url).read_bytes() == CONTENT + b"more"


def test_nor_is_one_that_has_neither_tag_nor_date(server, url):
    server.headers = {}
    broken_off(server, url)
    server.files["/run/model.pth"] = OTHER
    assert download(url).read_bytes() == OTHER and not parts(url)


def test_a_part_that_is_longer_than_the_file(server, url):
    broken_off(server, url)
    server.files["/run/model.pth"] = CONTENT[:4000]  # the server answers 416
    assert download(url).read_bytes() == CONTENT[:4000] and not parts(url)


@pytest.mark.parametrize("start", [4000, 6000])
def test_a_server_that_continues_from_elsewhere(server, url, start):
    broken_off(server, url)
    server.elsewhere = start
    assert download(url).read_bytes() == CONTENT and not parts(url)


def test_a_whole_part_that_was_not_renamed(server, url, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module.Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            download(url)
    assert [p.stat().st_size for p in parts(url)] == [len(CONTENT)]
    monkeypatch.setattr(module, "_receive", None)  # nothing is received again
    assert download(url).read_bytes() == CONTENT and not parts(url)


def killed(*_):
    raise KeyboardInterrupt


def test_a_server_that_does_not_announce_the_length(server, url):
    server.announces = False
    assert download(url).read_bytes() == CONTENT


@pytest.mark.parametrize("digits", [64, 8])
def test_a_stated_checksum(server, url, digits):
    assert download(f"{url}#sha256={SUM[:digits].upper()}").read_bytes() == CONTENT
    assert cached_file(f"{url}#sha256={SUM}") == cached_file(url)


def test_a_checksum_in_the_name(server, torch_home):
    name = f"/model-{SUM[:8]}.pth"
    server.files[name] = CONTENT
    assert download(server.url + name).read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["/model-0123abcd.pth", f"/model.pth#sha256={'0' * 64}"])
def test_what_has_another_checksum_is_removed(server, torch_home, name):
    server.files[name.partition("#")[0]] = CONTENT
    with pytest.raises(ValueError, match=rf"the SHA-256 of .* is {SUM}, expected 0.*; it is removed"):
        download(server.url + name)
    assert not cached_file(server.url + name).exists() and not parts(server.url + name)


def test_a_file_in_the_cache_is_checked_as_well(server, url):
    cached_file(url).parent.mkdir(parents=True)
    cached_file(url).write_bytes(CONTENT[:100])  # fetched by hand, and not whole; perhaps somebody reads it
    with pytest.raises(ValueError, match=rf"SHA-256 of {re.escape(str(cached_file(url)))} is .* remove the file"):
        download(f"{url}#sha256={SUM}")
    assert cached_file(url).read_bytes() == CONTENT[:100] and not server.asked


def test_a_date_in_the_name_is_no_checksum(server, torch_home):
    server.files["/model-20240728.pth"] = CONTENT
    assert download(f"{server.url}/model-20240728.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("fragment", ["sha256=", "md5=0123456789abcdef", "sha256=nonsense"])
def test_a_checksum_that_is_none(server, url, fragment):
    with pytest.raises(ValueError, match=r"expected #sha256= and at least 8 hexadecimal digits"):
        download(f"{url}#{fragment}")
    assert not server.asked


@pytest.mark.parametrize("path", ["", "/x/..", "/x/.", "/x/"])
def test_a_url_without_a_file(server, path):
    with pytest.raises(ValueError, match="names no file"):
        download(server.url + path)


def test_a_name_that_no_file_system_admits(server, torch_home):
    with pytest.raises(ValueError, match="the file's name is of 250 bytes, at most 200"):
        download(f"{server.url}/{'x' * 246}.pth")
    assert not server.asked


def test_letters_that_no_url_has_are_quoted(server, torch_home):
    server.files["/mod%C3%A8le%20a.pth"] = CONTENT
    for path in "/modèle a.pth", "/mod%C3%A8le%20a.pth":
        assert download(server.url + path).read_bytes() == CONTENT


def test_a_backend_that_cannot_be(torch_home):
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded \("):
        download(f"http://{'x' * 64}.example/model.pth")


def test_a_file_that_is_not_there(server, url):
    wrong = url.replace("pth", "pht")
    with pytest.raises(FileNotFoundError) as caught:
        download(wrong)
    assert str(caught.value) == (
        f"{wrong} cannot be downloaded (HTTP Error 404: Not Found); look whether the address is right and open to all;"
        f" a copy from elsewhere belongs at {cached_file(wrong)}"
    )


def test_a_server_that_is_busy(server, url):
    server.missing = (503, {})
    with pytest.raises(FileNotFoundError, match=r"\(HTTP Error 503: .*\); run it again to continue"):
        download(url.replace("pth", "pht"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_command_of_the_message_puts_the_file_where_it_is_looked_for(server, url, monkeypatch):
    server.files["/run/model.pth?a=1&b=2"] = CONTENT
    url += "?a=1&b=2"
    with monkeypatch.context() as patch:
        patch.setattr(module.urllib.request, "urlopen", no_network)
        with pytest.raises(FileNotFoundError, match="Name or service not known") as caught:
            download(url)
    command = str(caught.value).rpartition("by hand: ")[2]
    assert shlex.split(command)[0] == "curl"
    subprocess.run(command, shell=True, check=True, capture_output=True)
    server.asked.clear()
    assert download(url).read_bytes() == CONTENT and not server.asked


def no_network(*_, **__):
    raise module.urllib.error.URLError(OSError(-2, "Name or service not known"))


def test_a_full_disk_is_noticed_before_anything_is_written(server, url, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(FileNotFoundError, match=r"16384 bytes are needed in .*, 100 are free"):
        download(url)
    assert not parts(url)


def test_threads_wait_for_one_another(server, url):
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(download, [url] * 8))
    assert len(paths) == 1 and paths.pop().read_bytes() == CONTENT
    assert len(server.asked) == 1


PROGRAM = """
import sys
from hiera_det.weights.download import download
try:
    print(download(sys.argv[1]).read_bytes() == bytes(range(256)) * 64)
except FileNotFoundError as error:
    print(error)
"""


def start(url: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-c", PROGRAM, url]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)


def test_processes_wait_for_one_another(server, url):
    processes = [start(url) for _ in range(2)]
    assert [p.communicate()[0].strip() for p in processes] == ["True", "True"]
    assert len(server.asked) == 1


def test_offline_mode_asks_nothing_and_takes_what_is_there(server, url):
    out = start(url, HF_HUB_OFFLINE="1").communicate()[0]
    assert re.match(rf"{re.escape(url)} is not in the cache and HF_HUB_OFFLINE is set; fetch it by hand: curl -L", out)
    assert not server.asked
    download(url)
    assert start(url, HF_HUB_OFFLINE="1").communicate()[0].strip() == "True"
