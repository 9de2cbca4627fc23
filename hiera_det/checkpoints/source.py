"""Where weights are: a name of the zoo, a URL, a repository of the Hugging Face hub, or a local file."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from hiera_det.checkpoints.download import download
from hiera_det.checkpoints.zoo import PUBLISHED, ZOO

__all__ = ["local_file"]


def local_file(source: str) -> Path:
    """The local file of a source; what has to be downloaded is so once.

    Args:
        source: a name of :data:`~hiera_det.checkpoints.zoo.ZOO`, an http(s) URL, ``hf://owner/name``, with a revision
            ``@main`` and a file ``/model.safetensors`` if wanted, or a path. Before a name of the zoo or a path may
            stand ``hiera://``, as detectron2's checkpointer needs it.

    Raises:
        FileNotFoundError: there is no such file, or it cannot be fetched; the message says what to do.
        ValueError: what was fetched is not what was expected.
    """
    source = source.removeprefix("hiera:").removeprefix("//") if source.startswith("hiera:") else source
    if source in ZOO:
        return download(ZOO[source])
    if source.startswith("hf://"):
        return _from_hub(source.removeprefix("hf://"))
    if urlparse(source).scheme in ("http", "https"):
        return download(source)
    path = Path(source)
    if path.is_file():
        return path
    if f"{PUBLISHED}{source}" in ZOO.values():  # the published file's own name
        return download(f"{PUBLISHED}{source}")
    names = ", ".join(name for name in ZOO if name.partition(".")[0] == source.partition(".")[0]) or ", ".join(ZOO)
    raise FileNotFoundError(
        f"no weights file at {source}, and no published weights of that name (there are {names}); also taken: URLs and"
        ' hf://owner/name; for training from scratch, MODEL.WEIGHTS ""'
    )


def _from_hub(address: str) -> Path:
    """The file of ``owner/name[@revision][/file]``; without a file, the one that such repositories usually have."""
    owner, _, rest = address.partition("/")
    name, _, file = rest.partition("/")
    name, _, revision = name.partition("@")
    if not owner or not name:
        raise FileNotFoundError(f"hf://{address}: expected hf://owner/name, such as hf://facebook/hiera-tiny-224-hf")
    candidates = [file] if file else ["model.safetensors", "pytorch_model.bin", f"{name.replace('-', '_')}.pt"]
    for candidate in candidates:
        try:
            return Path(hf_hub_download(f"{owner}/{name}", candidate, revision=revision or None))
        except LocalEntryNotFoundError as error:  # no network, or offline mode
            raise FileNotFoundError(
                f"hf://{address} is neither in the cache nor can it be fetched ({_first_line(error)}). Fetch it where"
                f" there is a network: hf download {owner}/{name} {candidate}, and name the file"
            ) from error
        except EntryNotFoundError:
            continue
        except RepositoryNotFoundError as error:
            raise FileNotFoundError(
                f"hf://{address}: there is no such repository, or it needs `hf auth login`"
            ) from error
        except (HfHubHTTPError, OSError) as error:
            raise FileNotFoundError(f"hf://{address} cannot be fetched ({_first_line(error)})") from error
    raise FileNotFoundError(f"hf://{address} has none of {', '.join(candidates)}; name one: hf://{owner}/{name}/FILE")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
