"""Downloads that a lost connection does not lose: kept in torch.hub's cache, resumed, checked, then renamed.

Our own, as torch.hub starts anew after a broken connection, and huggingface_hub may continue a file that has changed.
"""

from __future__ import annotations

import glob
import hashlib
import re
import shlex
import shutil
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import quote, urldefrag, urlparse
from uuid import uuid4

import torch
from filelock import FileLock
from huggingface_hub import is_offline_mode
from tqdm import tqdm

from hiera_det.utils.files import file_sum
from hiera_det.weights.zoo import ZOO

__all__ = ["cached_file", "download"]

_REFUSED = set(range(400, 500)) - {408, 425, 429}  # HTTP's answers that a second attempt does not change
TIMEOUT = 30  # seconds without a byte
BLOCK = 2**20
_HASH_IN_NAME = re.compile(r"-(?=\d*[a-f])([0-9a-f]{8,64})\.[^.]+$")  # torch.hub's convention; a mere number is a date
_LONGEST = 200  # bytes of a name; file systems admit 255, and what a download leaves beside it has longer names
_FRAGMENT = re.compile(r"sha256=([0-9a-fA-F]{8,64})")


def cached_file(url: str) -> Path:
    """Where a URL's file is kept, in torch.hub's cache (`TORCH_HOME`).

    The zoo's files have torch.hub's place, where other packages have perhaps put them. Of other URLs each has a folder
    of its own: many a run's file is called ``model_final.pth``.

    Raises:
        ValueError: the URL names no file, or one with too long a name.
    """
    url = urldefrag(url).url
    folder, name = Path(torch.hub.get_dir()) / "checkpoints", urlparse(url).path.rpartition("/")[2]
    if name in ("", ".", ".."):
        raise ValueError(f"{url} names no file; expected one such as https://host/folder/model.pth")
    if len(name.encode()) > _LONGEST:
        raise ValueError(f"{url}: the file's name is of {len(name.encode())} bytes, at most {_LONGEST} can be kept")
    return folder / name if url in ZOO.values() else folder / _digest(url) / name


def download(url: str) -> Path:
    """The file of a URL: from the cache, otherwise downloaded to it.

    A download that was broken off is continued. The file gets its name when it is complete: of the announced length,
    and of the right checksum where one is known, by ``#sha256=…`` at the end of the URL or in torch.hub's manner by the
    file's name (``name-0123abcd.pth``, the first digits of its SHA-256); what is in the cache is checked too.
    Processes wait for one another. With ``HF_HUB_OFFLINE=1`` in the environment nothing is fetched.

    Raises:
        FileNotFoundError: the file cannot be had; the message has the command to fetch it by hand.
        ValueError: the checksum is another one; what was downloaded is removed, what was in the cache stays. Or the URL
            is no file's.
    """
    url, expected = _checksum(url)
    target = cached_file(url)
    if not target.is_file():
        url = quote(url, safe="%/:?#[]@!$&'()*+,;=")  # letters that no URL has; what is quoted already stays
        by_hand = f"fetch it by hand: {shlex.join(['curl', '-L', '--create-dirs', '-o', str(target), url])}"
        if is_offline_mode():
            raise FileNotFoundError(f"{url} is not in the cache and HF_HUB_OFFLINE is set; {by_hand}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.is_file():  # another process may have fetched it meanwhile
                part = _fetch(url, target, by_hand)
                try:
                    _check_sum(url, part, expected, "it is removed, try again")
                except ValueError:
                    part.unlink()
                    raise
                return part.replace(target)
    _check_sum(url, target, expected, "to download it anew, remove the file")
    return target


def _fetch(url: str, target: Path, by_hand: str) -> Path:
    """Download beside the target; returns the complete file's path."""
    try:
        return _continued(url, target)
    except (OSError, HTTPException, UnicodeError) as error:  # UnicodeError: no host can have such a name
        if isinstance(error, urllib.error.HTTPError) and error.code in _REFUSED:
            advice = f"look whether the address is right and open to all; a copy from elsewhere belongs at {target}"
        else:
            advice = f"run it again to continue, or {by_hand}"
        raise FileNotFoundError(f"{url} cannot be downloaded ({error}); {advice}") from error


def _continued(url: str, target: Path) -> Path:
    """Download from where an earlier attempt at the same content stopped, if there was one."""
    for part in target.parent.glob(f"{glob.escape(target.name)}.*.part"):
        size = part.stat().st_size
        with _open(url, size) as response:
            start, total = _span(response)
            if part == _part(target, response):
                if total == size:  # complete, and only not renamed
                    return part
                if start == size:
                    return _receive(response, part, target.name)
        part.unlink()  # the file has changed, or the server cannot continue
    with _open(url, 0) as response:
        return _receive(response, _part(target, response), target.name)


def _open(url: str, start: int) -> HTTPResponse:
    headers = {"User-Agent": "hiera_det"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if start and error.code == 416:  # nothing is left from there on: the answer to all of it says why
            return _open(url, 0)
        raise


def _part(target: Path, response: HTTPResponse) -> Path:
    """Named by what tells this content from another: the server's tag or date, and the length.

    Without tag and date the content may have changed, and no later part has the same name.
    """
    tag, date = response.headers.get("ETag"), response.headers.get("Last-Modified")
    length = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get("Content-Length", "")
    identity = f"{tag} {date} {length}" if tag or date else uuid4().hex
    return target.with_name(f"{target.name}.{_digest(identity)}.part")


def _span(response: HTTPResponse) -> tuple[int | None, int | None]:
    """Where in the file an answer begins, and the file's length, as far as they are announced."""
    if response.status != 206:
        announced = response.headers.get("Content-Length")
        return 0, int(announced) if announced else None
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    return (int(span[1]), int(span[2])) if span else (None, None)


def _receive(response: HTTPResponse, part: Path, name: str) -> Path:
    """Append what comes to the part, which is then the complete file."""
    start, total = _span(response)
    if start is None:
        raise OSError("the server sends a part without saying which, or of a file without end")
    if total:
        _check_room(part.parent, total - start)
    with (
        part.open("ab" if start else "wb") as file,
        tqdm(desc=name, total=total, initial=start, unit="B", unit_scale=True) as bar,
    ):
        while block := response.read(BLOCK):
            file.write(block)
            bar.update(len(block))
    if total and part.stat().st_size != total:
        raise OSError(f"the connection ended after {part.stat().st_size} of {total} bytes")
    return part


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(f"{needed} bytes are needed in {folder}, {free} are free")


def _checksum(url: str) -> tuple[str, str | None]:
    """The URL without its fragment, and the first digits of the file's SHA-256, if they are known."""
    url, fragment = urldefrag(url)
    if not fragment:
        in_name = _HASH_IN_NAME.search(urlparse(url).path)
        return url, in_name and in_name[1]
    if not (stated := _FRAGMENT.fullmatch(fragment)):
        raise ValueError(f"{url}#{fragment}: expected #sha256= and at least 8 hexadecimal digits behind the URL")
    return url, stated[1].lower()


def _check_sum(url: str, path: Path, expected: str | None, advice: str) -> None:
    if expected is not None and not (found := file_sum(path)).startswith(expected):
        raise ValueError(f"{url}: the SHA-256 of {path} is {found}, expected {expected}; {advice}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
