"""A COCO-format dataset: images and targets, transformed together."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from hiera_det.coco.reader import read_annotations
from hiera_det.coco.records import Annotations, ImageRecord
from hiera_det.data.catalog import DatasetFiles
from hiera_det.data.images import Reading, UnreadableImageError, read_image
from hiera_det.data.reading import FORMATS, in_format
from hiera_det.detection.data.targets import make_sample, make_target
from hiera_det.detection.data.transforms import DetectionTransform
from hiera_det.engine.samplers import drawn

__all__ = ["CocoDataset"]

logger = logging.getLogger(__name__)

_MAX_UNREADABLE = 20  # images in a row


class CocoDataset(Dataset):
    """Images with their instances, from a COCO JSON.

    ``dataset[index]`` is for evaluation: an image that cannot be read is an error. ``dataset[(index, draw)]`` is for
    training: the integer ``draw`` alone seeds the transform's random numbers, and in place of an image that cannot be
    read the next one is taken, with a warning in the log.

    An item is ``(image, target)``: the image (C, H, W) uint8, 0-255, in the order of ``image_format``; the target as
    :func:`hiera_det.detection.data.targets.make_target` describes it.

    Args:
        files: the JSON and the image folder.
        transform: from ``build_train_transform`` or ``build_test_transform``.
        image_format: ``INPUT.FORMAT``.
        mask_format: "polygon", "bitmask", or None for boxes only.
        filter_empty: leave out the images without instances (crowd regions do not count).
        annotations: of the JSON, where they were read before.
        reading: how images are read, as :func:`~hiera_det.data.reading.reading_of` gives it.

    Attributes:
        files: as given.
        category_ids: label i + 1 stands for ``category_ids[i]``; ascending.
        class_names: in the same order.
        image_ids: by index; ascending.

    Raises:
        ValueError: the JSON is not as expected, or an argument is not one of those above.
    """

    def __init__(
        self,
        files: DatasetFiles,
        transform: DetectionTransform,
        *,
        image_format: str,
        mask_format: str | None,
        filter_empty: bool,
        annotations: Annotations | None = None,
        reading: Reading | None = None,
    ) -> None:
        if image_format not in FORMATS:
            raise ValueError(f"INPUT.FORMAT is {image_format!r}, expected one of {', '.join(FORMATS)}")
        if mask_format not in ("polygon", "bitmask", None):
            raise ValueError(f"INPUT.MASK_FORMAT is {mask_format!r}, expected polygon or bitmask")
        if annotations is None:
            annotations = read_annotations(files.json_file, mask_format=mask_format)
            for note in annotations.notes:
                logger.warning("%s: %s", files.json_file, note)
        content = annotations
        records = [record.for_training(masks=mask_format is not None) for record in content.records]
        records = [record for record in records if record.instances or not filter_empty]
        if not records:
            raise ValueError(f"{files.json_file}: none of the {len(content.records)} images has an instance")
        filled = sum(bool(record.instances) for record in records)
        text = "%s: %d images, %d of them in use, %d with instances"
        logger.info(text, files.name, len(content.records), len(records), filled)
        self.files = files
        self.transform = transform
        self.image_format = image_format
        self.reading = reading or Reading()
        self.mask_format = mask_format
        self.category_ids = content.category_ids
        self.class_names = content.class_names
        self.image_ids = [record.image_id for record in records]
        self._records = _PackedList(records)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[torch.Tensor, dict[str, Any]]:
        if isinstance(key, tuple):
            index, draw = key
            record, image = self._load_readable(index)
        else:
            draw, record = 0, self._records[key]
            image = self._load(record)
        with drawn(draw):
            image, sample = self.transform(image, make_sample(record))
        target = make_target(
            record,
            sample,
            (image.height, image.width),
            mask_format=self.mask_format,
            recompute_boxes=self.transform.crops and self.mask_format is not None,
        )
        return in_format(F.pil_to_tensor(image), self.image_format), target  # (C, H, W)

    def _load(self, record: ImageRecord) -> Image.Image:
        path = self.files.image_root / record.file_name
        image = read_image(path, **self.reading)
        if (image.height, image.width) != (record.height, record.width):
            raise ValueError(
                f"image {path} has height {image.height} and width {image.width}, but "
                f"{self.files.json_file} says {record.height} and {record.width} (image {record.image_id})"
            )
        return image

    def _load_readable(self, index: int) -> tuple[ImageRecord, Image.Image]:
        for step in range(min(_MAX_UNREADABLE, len(self))):
            record = self._records[(index + step) % len(self)]
            try:
                return record, self._load(record)
            except UnreadableImageError as error:
                logger.warning("%s; taking the next image in its place", error)
                last = error
        raise UnreadableImageError(
            f"{step + 1} images in a row cannot be read, from {self.files.image_root}; the last: {last}"
        )


class _PackedList:
    """A list pickled into one tensor, which worker processes share instead of copying object by object."""

    def __init__(self, items: Sequence[Any]) -> None:
        packed = [pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL) for item in items]
        self._ends = torch.from_numpy(np.cumsum([0] + [len(part) for part in packed]))
        self._bytes = torch.frombuffer(bytearray(b"".join(packed)), dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} in a dataset of {len(self)}")
        index %= len(self)
        return pickle.loads(self._bytes[self._ends[index] : self._ends[index + 1]].numpy().tobytes())
