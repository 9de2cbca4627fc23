"""The package outside its checkout: from a wheel, and from an editable install."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPORTS = "import hiera_det.cli.train, hiera_det.projects.ava.task as task; print(hiera_det.__file__, task.__file__)"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A copy of what the package is built from: building writes into the tree."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("hiera_det", "projects", "benchmarks", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def python(tmp_path):
    """The interpreter of an environment that sees what is installed here, but not this package."""
    venv.create(tmp_path / "environment", with_pip=False)
    (packages,) = (tmp_path / "environment" / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return tmp_path / "environment" / "bin" / "python"


def run(*command: object, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(python: Path, *words: object, folder: Path) -> None:
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", *words, folder=folder)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="paths of environments")
def test_wheel(sources, python, tmp_path):
    pip(python, sources, folder=tmp_path)
    package, project = run(python, "-c", IMPORTS, folder=tmp_path).split()
    installed = Path(package).parents[1]
    assert installed.is_relative_to(tmp_path) and Path(project) == installed / "hiera_det/projects/ava/task.py"
    names = {path.name for path in installed.iterdir()}
    assert not {"benchmarks", "ava", "tests", "tools", "projects"} & names


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="paths of environments")
def test_editable_install(sources, python, tmp_path):
    pip(python, "--editable", sources, folder=tmp_path)
    package, project = run(python, "-c", IMPORTS, folder=tmp_path).split()
    assert Path(package) == sources / "hiera_det/__init__.py"
    assert Path(project) == sources / "projects/ava/ava/task.py"
