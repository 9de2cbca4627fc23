"""The package outside its checkout: a wheel that does everything, and an editable install."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPORTS = "import hiera_det.cli.train, hiera_det.projects.ava.task as task; print(hiera_det.__file__, task.__file__)"
TINY = [
    *("SOLVER.MAX_ITER", 2, "SOLVER.STEPS", "[]", "SOLVER.WARMUP_ITERS", 1),
    *("MODEL.HIERA.EMBED_DIM", 16, "DATALOADER.NUM_WORKERS", 0),
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="paths of environments"),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A copy of what the package is built from: building writes into the tree."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("hiera_det", "projects", "benchmarks", "configs", "tests", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    run(sys.executable, "-m", "pip", "wheel", *flags, sources, folder=folder)
    (path,) = folder.glob("*.whl")
    return path


def environment(folder: Path) -> Path:
    """The commands of an environment that sees what is installed here, but not this package."""
    venv.create(folder, with_pip=False)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return folder / "bin"


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The commands of an environment with the wheel, without its dependencies."""
    commands = environment(tmp_path_factory.mktemp("environment") / "venv")
    pip(commands / "python", wheel, folder=commands)
    return commands


def run(*command: object, folder: Path) -> str:
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DETECTRON2_DATASETS")}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(python: Path, *words: object, folder: Path) -> None:
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", *words, folder=folder)


def test_what_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (Parser().parsestr(archive.read(n).decode()) for n in names if n.endswith("/METADATA"))
        (scripts,) = (archive.read(n).decode() for n in names if n.endswith("/entry_points.txt"))
    expected = {f"hiera_det/{path.relative_to(ROOT / 'hiera_det')}" for path in (ROOT / "hiera_det").rglob("*.py")}
    expected |= {f"hiera_det/configs/{path.relative_to(ROOT / 'configs')}" for path in (ROOT / "configs").rglob("*.*")}
    project = ROOT / "projects" / "ava"
    expected |= {f"hiera_det/projects/ava/{p.relative_to(project / 'ava')}" for p in (project / "ava").rglob("*.py")}
    expected |= {f"hiera_det/projects/ava/configs/{path.name}" for path in (project / "configs").glob("*.yaml")}
    expected = {name for name in expected if "__pycache__" not in name} | {"hiera_det/py.typed"}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert "hiera-det = hiera_det.cli.main:main" in scripts
    assert metadata["Requires-Python"] == ">=3.11" and metadata["License-Expression"] == "Apache-2.0"
    assert {"ava", "features", "cluster", "detectron2", "test", "dev"} == set(metadata.get_all("Provides-Extra"))
    assert all(metadata[name] for name in ("Summary", "Keywords", "Description-Content-Type", "Author"))
    assert not any(line.startswith("detectron2") for line in metadata.get_all("Requires-Dist"))


def test_the_wheel_does_everything(installed, tmp_path):
    package, project = run(installed / "python", "-c", IMPORTS, folder=tmp_path).split()
    home = Path(package).parents[1]
    assert home.is_relative_to(installed.parent) and Path(project) == home / "hiera_det/projects/ava/task.py"
    assert not {"benchmarks", "ava", "tests", "tools", "projects", "configs"} & {path.name for path in home.iterdir()}

    def command(*words: object) -> str:
        return run(installed / "hiera-det", *words, folder=tmp_path)

    command("quickstart", "--num-train", 8, "--num-val", 3, *TINY)
    weights = ("--weights", "output/quickstart/model_final.pth")
    images = "datasets/shapes/val"
    command("predict", *weights, "--input", images, "--output", "predictions", "--score-threshold", "0")
    assert (tmp_path / "predictions" / "predictions.json").is_file()
    command("evaluate", *weights, "--output", "evaluation")
    assert (tmp_path / "evaluation" / "inference" / "metrics.json").is_file()
    assert "task        detection" in command("info", "output/quickstart")
    backbone = ("MODEL.HIERA.NAME", "hiera_tiny_224", "MODEL.HIERA.EMBED_DIM", 16)
    layout = ("MODEL.HIERA.LAYOUT", "windowed", "MODEL.HIERA.POS_EMBED", "absolute_win")
    command(
        *("extract", "--config", "features_hiera_b", *weights, "--input", images, "--output", "features"),
        *("MODEL.HIERA.WINDOW_SIZES", "[8,4,8,4]", "INPUT.RESIZE", "none", *backbone, *layout),
    )
    assert "features: sound" in command("extract", "--output", "features", "--verify")

    command("ava-make-miniset", "--output", "datasets/ava_mini", "--num-train", 3, "--num-val", 2, "--image-size", 64)
    small = ("MODEL.HIERA.EMBED_DIM", 8, "INPUT.NUM_FRAMES", 4, "INPUT.CROP_SIZE", 64, "INPUT.MIN_SIZE_TEST", 64)
    short = ("SOLVER.MAX_ITER", 2, "SOLVER.WARMUP_ITERS", 1, "TEST.EVAL_PERIOD", 0, "INPUT.MIN_SIZE_TRAIN", "[64,64]")
    command(
        "train", "--config", "ava/quickstart", "--backend", "torchvision", *small, *short, "SOLVER.IMS_PER_BATCH", 2
    )
    (video, *_) = sorted((tmp_path / "datasets" / "ava_mini" / "videos").iterdir())
    (tmp_path / "persons.csv").write_text(f"{video.stem},1,0.1,0.2,0.4,0.9,,0.95\n")
    persons = ("--boxes", "persons.csv", "--output", "actions")
    command("predict", "--weights", "output/ava/quickstart", "--input", video, *persons)
    assert (tmp_path / "actions" / f"{video.stem}.mp4").is_file()
    command("evaluate", "--weights", "output/ava/quickstart")


def test_editable_install(sources, tmp_path):
    python = environment(tmp_path / "environment") / "python"
    pip(python, "--editable", sources, folder=tmp_path)
    package, project = run(python, "-c", IMPORTS, folder=tmp_path).split()
    assert Path(package) == sources / "hiera_det/__init__.py"
    assert Path(project) == sources / "projects/ava/ava/task.py"
    assert "ava/quickstart" in run(python, "-m", "hiera_det", "configs", folder=tmp_path)
