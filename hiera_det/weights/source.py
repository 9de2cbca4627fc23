"""Where weights are: a name of the zoo, a URL, a repository of the Hugging Face hub, or a local file or folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

from hiera_det.utils.regular import check_regular
from hiera_det.weights.download import download
from hiera_det.weights.hub import WEIGHTS, hub_file_beside, hub_weights
from hiera_det.weights.zoo import ZOO, resolved

__all__ = ["POINTER", "file_beside", "last_checkpoint", "local_file"]

POINTER = "last_checkpoint"  # file of a run's folder that names its latest checkpoint


def local_file(source: str) -> Path:
    """The local file of a source; what has to be downloaded is so once.

    Args:
        source: a name of :data:`~hiera_det.weights.zoo.ZOO`, an http(s) URL, ``hf://owner/name``, with a revision
            ``@main`` and a file ``/model.safetensors`` if wanted, or a path of a file, or of a folder with
            ``model.safetensors`` or ``pytorch_model.bin``, or of a run's folder, whose latest checkpoint it is. Before
            a name of the zoo or a path may stand ``hiera://``, as detectron2's checkpointer needs it.

    Raises:
        FileNotFoundError: there is no such file, or it cannot be fetched; the message says what to do.
        OSError: it is no file but a named pipe or a device.
        ValueError: what was fetched is not what was expected.
    """
    source = resolved(source)
    if source.startswith("hf://"):
        return hub_weights(source)
    if urlparse(source).scheme in ("http", "https"):
        return download(source)
    path = Path(source)
    if path.is_file():
        return path
    if source and path.is_dir():
        files = [path / name for name in WEIGHTS if (path / name).is_file()]
        final = path / "model_final.pth"
        if found := next(iter(files), None) or last_checkpoint(path) or (final if final.is_file() else None):
            return found
        raise FileNotFoundError(
            f"folder {path} has none of {', '.join(WEIGHTS)}, {POINTER}; name the file of the weights"
        )
    if source and path.exists():
        check_regular(path)
    names = ", ".join(name for name in ZOO if name.partition(".")[0] == source.partition(".")[0]) or ", ".join(ZOO)
    raise FileNotFoundError(
        f"no weights file at {source}, and no published weights of that name (there are {names}); also taken: URLs and"
        ' hf://owner/name; for training from scratch, MODEL.WEIGHTS ""'
    )


def last_checkpoint(folder: str | Path) -> Path | None:
    """The checkpoint that ``last_checkpoint`` in a run's folder names, or None without that file.

    Raises:
        FileNotFoundError: the named file is gone.
        ValueError: the file names none of the folder.
    """
    pointer = Path(folder) / POINTER
    if not pointer.is_file():
        return None
    name = pointer.read_text(encoding="utf-8", errors="replace").strip()
    if not name or Path(name).name != name:
        raise ValueError(f"{pointer} holds {name[:80]!r}, expected the name of a checkpoint in its folder")
    path = pointer.parent / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{pointer} names {path.name}, which is not there; write the name of another checkpoint into it, or"
            " train without --resume"
        )
    return path


def file_beside(source: str, name: str) -> Path | None:
    """The file of that name in the folder or repository that weights are from, such as their ``config.json``.

    Args:
        source: as of :func:`local_file`.
        name: of the file.

    Returns:
        None: there is none, also where the source is a name of the zoo or a URL. Where the hub cannot be asked, it is
        taken for not there, with a warning.
    """
    source = resolved(source)
    if source.startswith("hf://"):
        return hub_file_beside(source, name)
    path = Path(source)
    if urlparse(source).scheme in ("http", "https") or not path.exists():
        return None
    candidate = (path if path.is_dir() else path.parent) / name
    return candidate if candidate.is_file() else None
