"""COCO instance annotations: from a JSON file to checked records, one per image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from hiera_det.coco.entries import EntryReader, annotation_id, as_id, as_object
from hiera_det.coco.json_file import AnnotationError, load_lists
from hiera_det.coco.records import Annotations, ImageRecord
from hiera_det.coco.values import FieldError, shown
from hiera_det.data.class_names import check_category_ids, check_class_names

__all__ = ["AnnotationReader", "read_annotations", "read_file_names"]

T = TypeVar("T")
_EXTRAS = ("neg_category_ids", "not_exhaustive_category_ids")  # of LVIS' images


def read_annotations(json_file: Path, *, mask_format: str | None) -> Annotations:
    """Read and check a COCO instances file, for training and for evaluation.

    Text is UTF-8, or what a byte order mark says. Values that have one meaning are taken whatever their type; what was
    odd is counted in ``notes``. Instances without a usable polygon are left out where masks are read, as in detectron2
    (``detectron2/data/datasets/coco.py``). Without masks nothing looks at them.

    Args:
        json_file: the file.
        mask_format: "polygon" or "bitmask" to read the masks too, None for boxes only.

    Raises:
        AnnotationError: the file is not as expected; the message names the file and up to ten fields, with image and
            annotation. Or masks are to be read and no instance has one.
        OSError: the file cannot be read.
    """
    reader = AnnotationReader(json_file, mask_format)
    annotations = reader.read()
    annotations.notes = [f"{count} {what}" for what, count in sorted(reader.entries.values.taken.items())]
    if reader.problems:
        raise AnnotationError(str(json_file), reader.problems, annotations)
    return annotations


def read_file_names(json_file: Path) -> dict[int, str]:
    """Read the images of a COCO file alone, which may lack sizes and annotations: file names by ascending id.

    Raises:
        AnnotationError: the file is not as expected.
        OSError: the file cannot be read.
    """
    reader = AnnotationReader(json_file, None)
    names: dict[int, str] = {}
    for index, entry in enumerate(load_lists(json_file, ("images",))["images"]):
        pair = reader.checked(f"image number {index}", reader.entries.image_name, entry, names)
        if pair is not None:
            names[pair[0]] = pair[1]
    if reader.problems:
        raise AnnotationError(str(json_file), reader.problems)
    return dict(sorted(names.items()))


class AnnotationReader:
    """Reads one file and gathers what is wrong with its entries.

    Attributes:
        problems: in the order of the file.
        entries: reads each, and counts what was taken although it is odd.
    """

    def __init__(self, json_file: Path, mask_format: str | None) -> None:
        self.json_file = json_file
        self.problems: list[str] = []
        self.entries = EntryReader(mask_format)
        self._refused: set[int] = set()  # ids of images that have a problem

    def read(self) -> Annotations:
        """Read the file; entries that have problems are left out.

        Raises:
            AnnotationError: it is no JSON, or a list is missing or empty, or the classes cannot be told.
        """
        content = load_lists(self.json_file, ("images", "annotations", "categories"))
        categories = self.categories(content["categories"])
        records = self.images(content["images"])
        ids = sorted(categories)
        self.annotations(content["annotations"], records, {number: label for label, number in enumerate(ids, start=1)})
        rarity = [categories[number].get("frequency") for number in ids]
        return Annotations(
            str(self.json_file),
            ids,
            [categories[number]["name"] for number in ids],
            [records[number] for number in sorted(records)],
            rarity=[str(it) for it in rarity] if all(it in ("r", "c", "f") for it in rarity) else None,
            image_extras=self._extras(content["images"], set(ids)),
        )

    def fail(self, text: str) -> NoReturn:
        """End the reading."""
        raise AnnotationError(str(self.json_file), [*self.problems, text])

    def checked(self, where: str, action: Callable[..., T], *arguments: Any) -> T | None:
        """What an action returns; None: it found a problem, which is kept."""
        try:
            return action(*arguments)
        except FieldError as error:
            self.problems.append(f"{where}: {error}")
            return None

    def categories(self, entries: list[Any]) -> dict[int, dict[str, Any]]:
        """Entries with a name, by id."""
        found: dict[int, dict[str, Any]] = {}
        for index, entry in enumerate(entries):
            category = self.checked(f"category number {index}", self.entries.category, entry, found)
            if category is not None:
                found[category["id"]] = category
        if self.problems:
            self.fail("the classes cannot be told")
        names = check_class_names([category["name"] for category in found.values()], str(self.json_file))
        check_category_ids(list(found), names, str(self.json_file))
        return found

    def images(self, entries: list[Any]) -> dict[int, ImageRecord]:
        """Records without instances, by image id."""
        records: dict[int, ImageRecord] = {}
        for index, entry in enumerate(entries):
            record = self.checked(f"image number {index}", self.entries.image, entry, records)
            if record is not None:
                records[record.image_id] = record
            elif (number := as_id(entry, "id")) is not None:
                self._refused.add(number)
        return records

    def annotations(self, entries: list[Any], records: dict[int, ImageRecord], label_of: dict[int, int]) -> None:
        """Check all annotations and add them to their images' records."""
        seen: set[int | str] = set()
        maskless = 0
        for index, entry in enumerate(entries):
            where = _where(index, entry, records)
            record = self.checked(where, self._image_of, entry, records, seen)
            instance = None if record is None else self.checked(where, self.entries.instance, entry, record, label_of)
            if instance is None or record is None:
                continue
            if self.entries.mask_format is not None and instance.segmentation is None and not instance.crowd:
                maskless += 1
            else:
                record.instances.append(instance)
        kept = [instance for record in records.values() for instance in record.instances]
        if maskless and all(instance.crowd for instance in kept) and not self.problems:
            self.problems.append(
                f"none of the {maskless} instances has a mask; with MODEL.MASK_ON False boxes alone are trained and"
                " evaluated"
            )
        if maskless:
            self.entries.values.taken["instances without a polygon of at least 3 points, left out"] += maskless
        if flat := sum(not instance.trainable and not instance.crowd for instance in kept):
            self.entries.values.taken["instances whose box has no area inside the image, not trained on"] += flat

    def _image_of(self, entry: Any, records: dict[int, ImageRecord], seen: set[int | str]) -> ImageRecord | None:
        """The image of an annotation; None: what is wrong with it is known."""
        number = annotation_id(as_object(entry))
        if number is not None and number in seen:
            raise FieldError("this id occurs twice")
        if number is None:
            self.entries.values.taken["annotations without an id"] += 1
        else:
            seen.add(number)
        image_id = self.entries.values.integer(entry, "image_id")
        if image_id in self._refused:
            return None
        if image_id not in records:
            raise FieldError(f"image_id {image_id} is not among the images")
        return records[image_id]

    def _extras(self, entries: list[Any], ids: set[int]) -> dict[int, dict[str, list[int]]]:
        """LVIS' lists of categories, of images that have any."""
        found = {}
        for entry in entries:
            number = as_id(entry, "id")
            if number is not None and all(isinstance(entry.get(key), list) for key in _EXTRAS):
                listed = {key: [as_id({key: it}, key) for it in entry[key]] for key in _EXTRAS}
                found[number] = {key: [it for it in its if it in ids] for key, its in listed.items()}
        return found


def _where(index: int, entry: Any, records: dict[int, ImageRecord]) -> str:
    """Name an annotation and its image for messages."""
    number = entry.get("id") if isinstance(entry, dict) else None
    name = f"annotation number {index}" if not isinstance(number, int | str) else f"annotation {shown(number)}"
    image_id = as_id(entry, "image_id")
    record = None if image_id is None else records.get(image_id)
    return name if record is None else f"image {record.image_id} ({record.file_name}), {name}"
