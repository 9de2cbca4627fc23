"""The zoo is the original's and SAM 2's; licences."""

from __future__ import annotations

import pytest

from hiera_det.weights.zoo import ZOO, checkpoints_of, licence_of, resolved

SAM2 = [f"{version}_hiera_{size}" for version in ("sam2", "sam2.1") for size in ("tiny", "small", "base_plus", "large")]


def test_names_and_urls_are_the_originals():
    original = pytest.importorskip("hiera", reason="pip install hiera-transformer")
    names = ("hiera_", "mae_hiera_")
    functions = {name: f for name, f in vars(original).items() if name.startswith(names) and hasattr(f, "checkpoints")}
    assert len(functions) == 20
    theirs = {f"{name}.{key}": url for name, f in functions.items() for key, url in f.checkpoints.items()}
    assert theirs == {name: url for name, url in ZOO.items() if name not in SAM2}
    for name, function in functions.items():
        assert checkpoints_of(name)[0] == function.default


@pytest.mark.parametrize("name", SAM2)
def test_sam2s_names_and_urls(name, tmp_path, monkeypatch):
    """As in checkpoints/download_ckpts.sh and the README of facebookresearch/sam2."""
    monkeypatch.chdir(tmp_path)
    folder = "092824" if name.startswith("sam2.1") else "072824"
    url = f"https://dl.fbaipublicfiles.com/segment_anything_2/{folder}/{name}.pt"
    for source in (name, f"hiera://{name}", f"{name}.pt", url):
        assert resolved(source) == url
        assert licence_of(source, "sam2") == "Apache-2.0"
    repository = f"hf://facebook/{name.replace('_', '-')}"
    assert licence_of(repository, "sam2-transformers") == "Apache-2.0"
    (tmp_path / f"{name}.pt").touch()
    assert resolved(f"{name}.pt") == f"{name}.pt"  # one's own file comes first


def test_no_checkpoints_of_what_is_no_variant():
    assert checkpoints_of("hiera_giant_224") == checkpoints_of("sam2") == []


@pytest.mark.parametrize(
    "source, file_format, licence",
    [
        ("hiera_base_224.mae_in1k", "original", "CC-BY-NC-4.0"),
        ("hiera://hiera_base_16x224.mae_k400_ft_k400", "original", "CC-BY-NC-4.0"),
        ("hiera:hiera_base_224.mae_in1k", "original", "CC-BY-NC-4.0"),
        ("mae_hiera_base_224.pth", "original", "CC-BY-NC-4.0"),
        ("hiera://mae_hiera_base_224.pth", "original", "CC-BY-NC-4.0"),
        ("https://huggingface.co/facebook/hiera-tiny-224-hf/resolve/main/x.safetensors", "original", "CC-BY-NC-4.0"),
        ("https://huggingface.co/facebook/sam2-hiera-tiny/resolve/main/sam2_hiera_tiny.pt", "sam2", "Apache-2.0"),
        ("trunk.safetensors", "sam2-timm", "Apache-2.0, if"),
        ("https://dl.fbaipublicfiles.com/hiera/hiera_tiny_224.pth", "original", "CC-BY-NC-4.0"),
        ("hf://facebook/hiera-tiny-224-hf", "transformers", "CC-BY-NC-4.0"),
        ("hf://facebook/hiera_base_224.mae_in1k_ft_in1k", "original", "CC-BY-NC-4.0"),
        ("hf://timm/hiera_base_224.mae_in1k_ft_in1k", "timm", "CC-BY-NC-4.0"),
        ("hf://timm/hiera_small_abswin_256.sbb2_e200_in12k", "timm", "Apache-2.0"),
        ("hf://facebook/sam2.1-hiera-tiny", "sam2", "Apache-2.0"),
        ("hf://timm/sam2_hiera_tiny.fb_r896", "sam2", "Apache-2.0"),
        ("https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_tiny.pt", "sam2", "Apache-2.0"),
        ("weights/sam2_hiera_tiny.pt", "sam2", "Apache-2.0, if"),
        ("output/model_final.pth", "detectron2", "not known"),
        ("hiera_base_224.mae_in1k.pth", "original", "not known"),
    ],
)
def test_licences(source, file_format, licence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = licence_of(source, file_format)
    assert found.startswith(licence) if licence in ("Apache-2.0, if", "not known") else found == licence


def test_a_file_of_ones_own_with_a_published_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mae_hiera_base_224.pth").touch()
    assert licence_of("mae_hiera_base_224.pth", "original").startswith("not known")
