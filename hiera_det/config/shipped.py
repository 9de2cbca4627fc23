"""The config files that come with the package, by name: in a wheel and in a checkout."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from hiera_det.config.yaml_files import bases_of
from hiera_det.utils.files import atomic_write

__all__ = ["copy_configs", "find_config", "shipped_configs"]

_PACKAGE = Path(__file__).parents[1]
# Before a name, and the folder of such files: in the wheel, in a checkout.
_FOLDERS = (
    ("", _PACKAGE / "configs", _PACKAGE.parent / "configs"),
    ("ava/", _PACKAGE / "projects" / "ava" / "configs", _PACKAGE.parent / "projects" / "ava" / "configs"),
)


def shipped_configs() -> dict[str, Path]:
    """The shipped YAML files by name: ``"mask_rcnn_hiera_b"``, ``"ava/hiera_l_16x4"``; shared bases are left out."""
    return {name: path for name, path in _all().items() if not path.stem.startswith("base")}


def find_config(source: str | Path) -> Path:
    """The file of a config: a path, or the name of a shipped one with or without ".yaml".

    Raises:
        FileNotFoundError: there is neither; the message has the names that are most alike.
    """
    path = Path(source)
    if path.is_file():
        return path
    shipped = _all()
    name = str(source).removesuffix(".yaml")
    if name in shipped:
        return shipped[name]
    alike = difflib.get_close_matches(path.stem, shipped_configs(), n=3, cutoff=0.4)
    hint = f"; is it {' or '.join(alike)}?" if alike else "."
    raise FileNotFoundError(
        f"no config file at {source}, and no shipped config of that name"
        f"{hint} `hiera-det configs` lists the shipped ones"
    )


def _all() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for prefix, installed, checkout in _FOLDERS:
        folder = installed if installed.is_dir() else checkout
        found |= {f"{prefix}{path.stem}": path for path in sorted(folder.glob("*.yaml"))}
    return found


def copy_configs(names: Iterable[str], folder: Path) -> list[Path]:
    """Copy shipped files, and those that they are based on, to a folder; files that are there stay.

    Args:
        names: of :func:`shipped_configs`.
        folder: it is made; AVA's files go to ``ava/`` in it.

    Returns:
        The files that were written.

    Raises:
        FileExistsError: the folder has another file of such a name; nothing is written.
    """
    shipped = _all()
    wanted = {folder / f"{name}.yaml": shipped[name] for name in names}
    level = wanted
    while level:
        level = {target.with_name(base.name): base for target, path in level.items() for base in bases_of(path)}
        wanted |= level
    for target, path in wanted.items():
        if target.exists() and target.read_bytes() != path.read_bytes():
            raise FileExistsError(f"{target} is there already and differs; choose another folder")
    for target, path in wanted.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as temporary:
            temporary.write_bytes(path.read_bytes())
    return list(wanted)
