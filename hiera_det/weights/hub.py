"""Files of repositories on the Hugging Face hub, ``hf://owner/name[@revision][/file]``, cached or downloaded."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path, PurePosixPath

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

__all__ = ["WEIGHTS", "hub_file_beside", "hub_weights"]

logger = logging.getLogger(__name__)

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the names that transformers and huggingface_hub write


class _UnreachableError(FileNotFoundError):
    """Not in the cache, and there is no network, or offline mode."""


def hub_weights(source: str) -> Path:
    """The weights of an address; where it names no file, the one that such repositories usually have.

    Raises:
        FileNotFoundError: there is no such file, or it cannot be fetched; the message says what to do.
    """
    repository, revision, file = _address(source)
    name = repository.partition("/")[2]
    candidates = [file] if file else [*WEIGHTS, f"{name.replace('-', '_')}.pt"]  # the last is SAM 2's
    unreachable: _UnreachableError | None = None
    for candidate in candidates:
        try:
            found = _fetch(source, repository, revision, candidate, local_only=unreachable is not None)
        except _UnreachableError as error:  # the next may be in the cache
            unreachable = unreachable or error
            continue
        if found is not None:
            return found
    if unreachable:
        wanted = [file] if file else [f"--include={name}" for name in (*candidates, "*.json")]
        command = ["hf", "download", repository, *wanted, *(["--revision", revision] if revision else [])]
        raise FileNotFoundError(
            f"{unreachable}. Fetch it where there is a network: {shlex.join(command)}, and name the file"
        )
    raise FileNotFoundError(f"{source} has none of {', '.join(candidates)}; name one: hf://{repository}/FILE")


def hub_file_beside(source: str, name: str) -> Path | None:
    """The file of that name in the folder of an address; None: there is none, or with a warning, none can be had."""
    repository, revision, file = _address(source)
    try:
        return _fetch(source, repository, revision, str(PurePosixPath(file).with_name(name) if file else name))
    except FileNotFoundError as error:
        logger.warning("going on without %s of the weights: %s", name, error)
        return None


def _address(source: str) -> tuple[str, str | None, str]:
    """Repository, revision and file ("": none is named)."""
    owner, _, rest = source.removeprefix("hf://").partition("/")
    name, _, file = rest.partition("/")
    name, _, revision = name.partition("@")
    try:
        validate_repo_id(f"{owner}/{name}")
    except HFValidationError as error:
        raise FileNotFoundError(
            f"{source}: expected hf://owner/name, such as hf://facebook/hiera-tiny-224-hf ({_first_line(error)})"
        ) from error
    return f"{owner}/{name}", revision or None, file


def _fetch(source: str, repository: str, revision: str | None, file: str, *, local_only: bool = False) -> Path | None:
    """A file, or None: the repository has no such file."""
    try:
        return Path(hf_hub_download(repository, file, revision=revision, local_files_only=local_only))
    except LocalEntryNotFoundError as error:
        raise _UnreachableError(
            f"{source} is neither in the cache nor can it be fetched ({_first_line(error)})"
        ) from error
    except EntryNotFoundError:
        return None
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(f"{source}: there is no such repository, or it needs `hf auth login`") from error
    except (HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(f"{source} cannot be fetched ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
