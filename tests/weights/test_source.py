"""Where weights come from: files, the zoo, URLs, and a hub on loopback."""

from __future__ import annotations

import os
import subprocess
import sys

import huggingface_hub.constants
import huggingface_hub.utils._http
import pytest

from hiera_det.weights import source as module
from hiera_det.weights.source import local_file

COMMIT = "c" * 40


def point_to(endpoint: str, monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    """``hub("owner/name", "model.safetensors", b"...")`` adds a file; repositories without any are not there."""
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(huggingface_hub.utils._http.time, "sleep", lambda _: None)  # between its attempts
    server.headers |= {"X-Repo-Commit": COMMIT}
    server.missing = (404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})

    def add(repository: str, file: str, content: bytes, revision: str = "main") -> None:
        server.files[f"/{repository}/resolve/{revision}/{file}"] = content

    return add


@pytest.fixture
def fetched(monkeypatch) -> list[str]:
    """The URLs that would be downloaded."""
    urls: list[str] = []

    def fetch(url):
        urls.append(url)
        return url

    monkeypatch.setattr(module, "download", fetch)
    return urls


@pytest.mark.parametrize(
    "source, url",
    [
        ("hiera_base_224.mae_in1k", "https://dl.fbaipublicfiles.com/hiera/mae_hiera_base_224.pth"),
        ("hiera://hiera_base_224.mae_in1k", "https://dl.fbaipublicfiles.com/hiera/mae_hiera_base_224.pth"),
        ("hiera_huge_16x224.mae_k400_ft_k400", "https://dl.fbaipublicfiles.com/hiera/hiera_huge_16x224.pth"),
        ("mae_hiera_base_224.pth", "https://dl.fbaipublicfiles.com/hiera/mae_hiera_base_224.pth"),
        ("https://host/run/model.pth#sha256=0123abcd", "https://host/run/model.pth#sha256=0123abcd"),
    ],
)
def test_names_of_the_zoo_and_urls_are_downloaded(fetched, source, url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_file(source) == url and fetched == [url]


@pytest.mark.parametrize("prefix", ["", "hiera://"])
def test_a_local_file_is_taken_as_it_is(fetched, prefix, tmp_path):
    path = tmp_path / "mae_hiera_base_224.pth"
    path.write_bytes(b"")
    assert local_file(f"{prefix}{path}") == path and not fetched


def test_a_local_file_goes_before_a_published_one_of_its_name(fetched, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mae_hiera_base_224.pth").write_bytes(b"")
    assert str(local_file("mae_hiera_base_224.pth")) == "mae_hiera_base_224.pth" and not fetched


@pytest.mark.parametrize("source", ["hiera_base_224.in21k", "hiera_base_224"])
def test_a_name_that_is_none_lists_those_of_the_variant(source):
    with pytest.raises(FileNotFoundError) as caught:
        local_file(source)
    assert "(there are hiera_base_224.mae_in1k, hiera_base_224.mae_in1k_ft_in1k)" in str(caught.value)


def test_a_path_that_is_none_lists_all(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights file at .*hiera_huge_16x224\.mae_k400_ft_k400"):
        local_file(str(tmp_path / "model.pth"))


@pytest.mark.parametrize(
    "repository, file",
    [
        ("facebook/hiera-tiny-224-hf", "model.safetensors"),
        ("facebook/hiera-tiny-224-hf", "pytorch_model.bin"),
        ("facebook/sam2.1-hiera-base-plus", "sam2.1_hiera_base_plus.pt"),
        ("facebook/sam2-hiera-tiny", "sam2_hiera_tiny.pt"),
    ],
)
def test_a_repository_of_the_hub(hub, server, repository, file):
    hub(repository, file, b"weights")
    path = local_file(f"hf://{repository}")
    assert path.name == file and path.read_bytes() == b"weights"
    assert local_file(f"hf://{repository}") == path
    assert [method for method, path, _ in server.asked if path.endswith(f"/{file}")].count("GET") == 1


def test_safetensors_go_before_pickles(hub):
    hub("owner/name", "pytorch_model.bin", b"pickle")
    hub("owner/name", "model.safetensors", b"weights")
    assert local_file("hf://owner/name").read_bytes() == b"weights"


def test_a_file_and_a_revision(hub):
    hub("owner/name", "model.safetensors", b"weights")
    hub("owner/name", "step/last.pth", b"last", revision="v2")
    assert local_file("hf://owner/name@v2/step/last.pth").read_bytes() == b"last"


def test_a_repository_without_weights(hub):
    with pytest.raises(FileNotFoundError, match=r"none of model\.safetensors, pytorch_model\.bin, my_name\.pt; name"):
        local_file("hf://owner/my-name")


def test_a_repository_that_is_not_there(hub, server):
    server.missing = (404, {"X-Error-Code": "RepoNotFound"})
    with pytest.raises(FileNotFoundError, match="no such repository, or it needs `hf auth login`"):
        local_file("hf://owner/name")


def test_a_revision_that_is_not_there(hub, server):
    server.missing = (404, {"X-Error-Code": "RevisionNotFound"})
    with pytest.raises(FileNotFoundError, match=r"hf://owner/name@v9 cannot be fetched \(.*404"):
        local_file("hf://owner/name@v9")


@pytest.mark.parametrize("address", ["", "name", "/name", "owner/", "owner/@v2", "owner/na me", "owner/a--b"])
def test_an_address_that_is_none(address):
    with pytest.raises(FileNotFoundError, match="expected hf://owner/name"):
        local_file(f"hf://{address}")


@pytest.fixture
def no_network(monkeypatch):
    """``no_network()``: nothing answers any more."""
    return lambda: point_to("http://127.0.0.1:9", monkeypatch)  # the port of discard


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin", "name.pt"])
def test_without_a_network_the_cache_is_taken(hub, no_network, file):
    hub("owner/name", file, b"weights")
    path = local_file("hf://owner/name")
    no_network()
    assert local_file("hf://owner/name") == path


@pytest.mark.parametrize(
    "rest, arguments",
    [
        ("", "--include=model.safetensors --include=pytorch_model.bin --include=name.pt '--include=*.json'"),
        ("/sam2.pt", "sam2.pt"),
        ("@v2/sam2.pt", "sam2.pt --revision v2"),
    ],
)
def test_without_a_network_the_message_has_the_command(hub, no_network, rest, arguments):
    no_network()
    with pytest.raises(FileNotFoundError, match="neither in the cache nor can it be fetched") as caught:
        local_file(f"hf://owner/name{rest}")
    assert f": hf download owner/name {arguments}, and name the file" in str(caught.value)


def test_offline_mode(hub, server, tmp_path):
    hub("owner/cached", "pytorch_model.bin", b"weights")
    path = local_file("hf://owner/cached")
    hub("owner/other", "model.safetensors", b"weights")
    server.asked.clear()
    program = (
        "from hiera_det.weights.source import local_file\n"
        "print(local_file('hf://owner/cached'))\n"
        "try: local_file('hf://owner/other')\n"
        "except FileNotFoundError as error: print(error)"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": server.url}
    run = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    cached, other = run.stdout.splitlines()
    assert cached == str(path)
    assert "hf://owner/other is neither in the cache" in other and "hf download owner/other" in other
    assert not server.asked


def test_a_hub_that_does_not_answer_is_asked_for_one_file_only(hub, server):
    server.missing = (503, {})  # huggingface_hub tries again for about half a minute
    with pytest.raises(FileNotFoundError, match="neither in the cache nor can it be fetched"):
        local_file("hf://owner/name")
    assert {path.rpartition("/")[2] for _, path, _ in server.asked if "owner/name" in path} == {"model.safetensors"}
