"""The choice of a backend, and what is said where detectron2 is absent or too old."""

from __future__ import annotations

import sys

import pytest

from hiera_det.cli.backends import choose_backend, load_detectron2
from hiera_det.cli.train import main

PAGE = "https://detectron2.readthedocs.io/en/latest/tutorials/install.html"


@pytest.fixture
def forgotten(monkeypatch):
    """The plugin as if it had never been imported."""
    for name in [name for name in sys.modules if name.startswith("hiera_det.detectron2")]:
        monkeypatch.delitem(sys.modules, name)


def test_auto_takes_detectron2_where_it_is_installed(monkeypatch):
    assert choose_backend("torchvision") == "torchvision"
    for found, backend in ((None, "torchvision"), ("a spec", "detectron2")):
        monkeypatch.setattr("hiera_det.cli.backends.find_spec", lambda name, found=found: found)
        assert choose_backend("auto") == backend


def test_the_choice_is_said(capsys):
    with pytest.raises(ValueError, match="NO_KEY"):
        main(["--backend", "torchvision", "--config", "quickstart", "NO_KEY", "1"])
    assert "backend: torchvision" in capsys.readouterr().err


def test_without_detectron2(monkeypatch, forgotten):
    monkeypatch.setitem(sys.modules, "detectron2", None)
    with pytest.raises(ImportError, match=f"needs detectron2 .*{PAGE}"):
        import hiera_det.detectron2  # noqa: F401
    with pytest.raises(ValueError, match=f"needs detectron2 .*{PAGE}.*--backend torchvision"):
        load_detectron2()


def test_an_old_detectron2(monkeypatch, forgotten):
    modeling = pytest.importorskip("detectron2.modeling", reason="needs detectron2, to stand for an older one")
    monkeypatch.setattr(modeling, "Backbone", object)
    with pytest.raises(ImportError, match=r"detectron2 \(0\.6\) is too old.*0\.6 from the main branch"):
        import hiera_det.detectron2  # noqa: F401
    with pytest.raises(ValueError, match=r"is too old.*--backend torchvision"):
        load_detectron2()


def test_an_error_of_ours_is_not_taken_for_that(monkeypatch):
    pytest.importorskip("detectron2", reason="needs detectron2, behind which ours fails")
    monkeypatch.setitem(sys.modules, "hiera_det.detectron2.trainer", None)
    with pytest.raises(ModuleNotFoundError):
        load_detectron2()


def test_a_model_that_needs_detectron2(run, request):
    run.config = request.config.rootpath / "configs" / "retinanet_hiera_b.yaml"
    with pytest.raises(ValueError, match="--backend detectron2"):
        run("DATASETS.TRAIN", "('shapes_train',)", "DATASETS.TEST", "()", "MODEL.ROI_HEADS.NUM_CLASSES", "4")
