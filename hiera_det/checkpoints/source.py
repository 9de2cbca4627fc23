"""Where weights are: a name of the zoo, a URL, a repository of the Hugging Face hub, or a local file or folder."""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath
from urllib.parse import urlparse

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from hiera_det.checkpoints.download import download
from hiera_det.checkpoints.zoo import PUBLISHED, ZOO

__all__ = ["file_beside", "local_file"]

logger = logging.getLogger(__name__)

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the names that transformers and huggingface_hub write


def local_file(source: str) -> Path:
    """The local file of a source; what has to be downloaded is so once.

    Args:
        source: a name of :data:`~hiera_det.checkpoints.zoo.ZOO`, an http(s) URL, ``hf://owner/name``, with a revision
            ``@main`` and a file ``/model.safetensors`` if wanted, or a path of a file, or of a folder with
            ``model.safetensors`` or ``pytorch_model.bin``. Before a name of the zoo or a path may stand ``hiera://``,
            as detectron2's checkpointer needs it.

    Raises:
        FileNotFoundError: there is no such file, or it cannot be fetched; the message says what to do.
        ValueError: what was fetched is not what was expected.
    """
    source = _without_scheme(source)
    if source in ZOO:
        return download(ZOO[source])
    if source.startswith("hf://"):
        return _from_hub(source)
    if urlparse(source).scheme in ("http", "https"):
        return download(source)
    path = Path(source)
    if path.is_file():
        return path
    if source and path.is_dir():
        return _of_folder(path)
    if f"{PUBLISHED}{source}" in ZOO.values():  # the published file's own name
        return download(f"{PUBLISHED}{source}")
    names = ", ".join(name for name in ZOO if name.partition(".")[0] == source.partition(".")[0]) or ", ".join(ZOO)
    raise FileNotFoundError(
        f"no weights file at {source}, and no published weights of that name (there are {names}); also taken: URLs and"
        ' hf://owner/name; for training from scratch, MODEL.WEIGHTS ""'
    )


def file_beside(source: str, name: str) -> Path | None:
    """The file of that name in the folder or repository that weights are from, such as their ``config.json``.

    Args:
        source: as of :func:`local_file`.
        name: of the file.

    Returns:
        None: there is none, also where the source is a name of the zoo or a URL. Where the hub cannot be asked, it is
        taken for not there, with a warning.
    """
    source = _without_scheme(source)
    if source.startswith("hf://"):
        repository, revision, file = _hub_address(source)
        try:
            return _hub_file(source, repository, revision, str(PurePosixPath(file).with_name(name) if file else name))
        except FileNotFoundError as error:
            logger.warning("going on without %s of the weights: %s", name, error)
            return None
    path = Path(source)
    if source in ZOO or not path.exists():
        return None
    candidate = (path if path.is_dir() else path.parent) / name
    return candidate if candidate.is_file() else None


def _without_scheme(source: str) -> str:
    return source.removeprefix("hiera:").removeprefix("//") if source.startswith("hiera:") else source


def _of_folder(folder: Path) -> Path:
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"folder {folder} has none of {', '.join(_WEIGHTS)}; name the file of the weights")


def _from_hub(source: str) -> Path:
    """The file of an ``hf://`` address; where it names none, the one that such repositories usually have."""
    repository, revision, file = _hub_address(source)
    name = repository.partition("/")[2]
    candidates = [file] if file else [*_WEIGHTS, f"{name.replace('-', '_')}.pt"]
    for candidate in candidates:
        if (found := _hub_file(source, repository, revision, candidate)) is not None:
            return found
    raise FileNotFoundError(f"{source} has none of {', '.join(candidates)}; name one: hf://{repository}/FILE")


def _hub_address(source: str) -> tuple[str, str | None, str]:
    """Repository, revision and file ("": none is named) of ``hf://owner/name[@revision][/file]``."""
    owner, _, rest = source.removeprefix("hf://").partition("/")
    name, _, file = rest.partition("/")
    name, _, revision = name.partition("@")
    if not owner or not name:
        raise FileNotFoundError(f"{source}: expected hf://owner/name, such as hf://facebook/hiera-tiny-224-hf")
    return f"{owner}/{name}", revision or None, file


def _hub_file(source: str, repository: str, revision: str | None, file: str) -> Path | None:
    """A file of a repository, from the cache or downloaded; None: the repository has no such file."""
    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except LocalEntryNotFoundError as error:  # no network, or offline mode
        raise FileNotFoundError(
            f"{source} is neither in the cache nor can it be fetched ({_first_line(error)}). Fetch it where"
            f" there is a network: hf download {repository} {file}, and name the file"
        ) from error
    except EntryNotFoundError:
        return None
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(f"{source}: there is no such repository, or it needs `hf auth login`") from error
    except (HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(f"{source} cannot be fetched ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
