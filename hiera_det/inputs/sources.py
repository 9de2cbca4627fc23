"""What one input stands for: a file, a folder, a glob, a list, a COCO JSON or tar files."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hiera_det.coco.reader import read_annotations, read_file_names
from hiera_det.data.folders import choose_files, count_endings, files_below, matches, passed_over_by_glob
from hiera_det.data.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from hiera_det.inputs.items import Item
from hiera_det.inputs.tars import expand_braces, images_of_tar
from hiera_det.utils.regular import check_regular
from hiera_det.utils.text import text_lines

__all__ = ["Finder"]

logger = logging.getLogger(__name__)

_COMPRESSED_TAR = re.compile(r"\.(tgz|tbz2?|txz|tzst|tar\.(gz|bz2|xz|zst|lz4|lzma|z))$")


@dataclass(frozen=True)
class Finder:
    """Finds the files of one kind that an input stands for; their paths become absolute.

    Args:
        video: videos, else images.
        image_root: of COCO JSONs; None: by COCO's layout, ``val2017`` beside the folder of ``instances_val2017.json``.
        coco_boxes: take the boxes of COCO JSONs.
        unreadable: gets a line for each folder below another that cannot be read.
    """

    video: bool
    image_root: Path | None
    coco_boxes: bool
    unreadable: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The word for messages."""
        return "video" if self.video else "image"

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Endings of files of the kind, in lower case."""
        return VIDEO_SUFFIXES if self.video else IMAGE_SUFFIXES

    def find(self, source: str) -> Iterable[Item]:
        """Items of an input, for videos one for each without a time.

        Raises:
            OSError: a file or folder is not there or cannot be read.
            ValueError: the input is of no known or the other kind, or damaged, or has nothing of the kind in it.
        """
        if os.path.isdir(source):
            return self._folder(source)
        if not os.path.exists(source):
            names = expand_braces(source) if source.lower().endswith(".tar") else [source]
            if names != [source]:
                found = (self._tar_of_many(name) if os.path.isfile(name) else self.find(name) for name in names)
                return [item for of_one in found for item in of_one]
            if glob.has_magic(source):
                return self._glob(source)
        return self._file(source)

    def _file(self, source: str) -> Iterable[Item]:
        if not os.path.exists(source):
            raise FileNotFoundError(f"no file or folder at {source}")
        try:
            check_regular(source)
        except OSError as error:
            raise ValueError(f"input {source}: {error.strerror}") from error
        suffix = os.path.splitext(source)[1].lower()
        if suffix == ".txt":
            return self._list(Path(source))
        if suffix == ".json":
            return self._coco(Path(source))
        if suffix == ".tar" or _COMPRESSED_TAR.search(source.lower()):
            return self._tar(source)
        others = "of a list .txt" + ("" if self.video else ", of a COCO file .json, of a WebDataset .tar")
        self._check_suffix(source, f"input {source}", others)
        return [Item(os.path.basename(source), os.path.abspath(source))]

    def _check_suffix(self, name: str, where: str, others: str) -> None:
        lower = name.lower()
        if lower.endswith(self.suffixes):
            return
        if lower.endswith(IMAGE_SUFFIXES + VIDEO_SUFFIXES):
            other = "an image" if self.video else "a video"
            raise ValueError(f"{where} is {other} by its name, but {self.kind}s are wanted")
        known = f"endings of {self.kind}s: {' '.join(self.suffixes)}; {others}"
        raise ValueError(f"{where} is no {self.kind} by its name; {known}")

    def _folder(self, folder: str) -> list[Item]:
        root = os.path.join(os.path.abspath(folder), "")
        names = sorted(name.removeprefix(root) for name in files_below(root, self._pass_over))
        return self._of_names(root, names, f"folder {folder}")

    def _pass_over(self, folder: str, error: OSError) -> None:
        self.unreadable.append(f"folder {folder.rstrip(os.sep)} cannot be read: {error.strerror}")
        logger.warning("%s; what is in it is left out", self.unreadable[-1])

    def _glob(self, pattern: str) -> Iterable[Item]:
        for folder, error in passed_over_by_glob(pattern):
            self._pass_over(folder, error)
        found = sorted(name for name in matches(pattern) if not os.path.isdir(name))
        if not found:
            raise FileNotFoundError(f"no file matches {pattern}; ** stands for folders below folders")
        if pattern.lower().endswith(".tar"):
            return [item for name in found for item in self._tar_of_many(name)]
        root = os.path.join(os.path.abspath(_fixed_folder(pattern)), "")
        names = sorted(os.path.abspath(name).removeprefix(root) for name in found)
        return self._of_names(root, names, pattern)

    def _of_names(self, root: str, names: Sequence[str], where: str) -> list[Item]:
        """Items of those files below a folder that are of the kind."""
        chosen = choose_files(names, self.suffixes, where, self.kind)
        if not chosen:
            looked = " ".join(self.suffixes)
            raise ValueError(f"no {self.kind} in {where}; looked for {looked}; there is: {count_endings(names)}")
        return [Item(name, root + name) for name in chosen if self._is_encodable(name)]

    def _is_encodable(self, name: str) -> bool:
        try:
            name.encode()
        except UnicodeEncodeError:
            self.unreadable.append(f"the name {name!r} is not in UTF-8, as ids are; rename it")
            logger.warning("left out: %s", self.unreadable[-1])
            return False
        return True

    def _tar_of_many(self, name: str) -> list[Item]:
        try:
            return self._tar(name)
        except (OSError, ValueError) as error:
            self.unreadable.append(str(error))
            logger.warning("left out: %s", error)
            return []

    def _list(self, path: Path) -> list[Item]:
        folder = os.path.abspath(path.parent)
        items = []
        for number, line in enumerate(text_lines(path), 1):
            name = line.strip()
            if name and not name.startswith("#"):
                self._check_suffix(name, f"{path}, line {number}: {name}", "a list names nothing else")
                items.append(Item(name, os.path.join(folder, name)))
        if not items:
            raise ValueError(f"{path} names no {self.kind}; expected a path per line, relative to the list's folder")
        _check_some_exist(items, f"{path}, whose paths start from {folder}")
        return items

    def _coco(self, path: Path) -> list[Item]:
        if self.video:
            raise ValueError(f"input {path} is a COCO file of images, but videos are wanted")
        root = self.image_root or path.absolute().parent.parent / path.stem.rpartition("_")[2]
        if not root.is_dir():
            raise FileNotFoundError(f"no folder with the images of {path} at {root}; name it as the image root")
        if self.coco_boxes:
            records = [record.for_training() for record in read_annotations(path, mask_format=None).records]
            images = [(it.image_id, it.file_name, tuple(instance.box for instance in it.instances)) for it in records]
        else:
            images = [(number, name, ()) for number, name in read_file_names(path).items()]
        folder = os.path.abspath(root)
        items = [Item(str(number), os.path.join(folder, name), boxes=boxes) for number, name, boxes in images]
        _check_some_exist(items, f"{path}, whose images are looked for in {root}")
        return items

    def _tar(self, source: str) -> list[Item]:
        if self.video:
            raise ValueError(f"input {source}: videos inside a tar file cannot be read; unpack it and give the folder")
        if _COMPRESSED_TAR.search(source.lower()):
            text = "is a compressed tar file, which cannot be read by seeking; unpack it to a .tar"
            raise ValueError(f"input {source} {text}")
        return images_of_tar(os.path.abspath(source))


def _fixed_folder(pattern: str) -> str:
    """``a/b`` of ``a/b/*/c*.jpg``."""
    parts = Path(pattern).parts
    return os.path.join("", *parts[: next(place for place, part in enumerate(parts) if glob.has_magic(part))])


def _check_some_exist(items: Sequence[Item], where: str) -> None:
    """A single missing file is a failure among many results, but if there is none at all the folder is wrong."""
    if not any(os.path.exists(item.path) for item in items):
        raise FileNotFoundError(f"none of the {len(items)} files of {where}, is there, such as {items[0].path}")
