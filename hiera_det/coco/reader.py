"""COCO instance annotations: from a JSON file to checked records, one per image."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from hiera_det.coco.masks import read_segmentation
from hiera_det.coco.records import Annotations, ImageRecord, Instance, Segmentation, extent
from hiera_det.coco.values import FieldError, Values, shown
from hiera_det.data.class_names import check_category_ids, check_class_names
from hiera_det.utils.problems import listed
from hiera_det.utils.text import read_text

__all__ = ["AnnotationError", "AnnotationReader", "read_annotations", "read_file_names"]

T = TypeVar("T")
_FARTHEST = 1e5  # pixels; COCO's area ranges end at its square
_LONGEST_SIDE = 10**6  # pixels of an image
_EXTRAS = ("neg_category_ids", "not_exhaustive_category_ids")  # of LVIS' images


class AnnotationError(ValueError):
    """Annotations that are not as expected.

    Args:
        source: the file.
        problems: what is wrong, each in one line.
        annotations: what could be read; None: nothing.
    """

    def __init__(self, source: str, problems: list[str], annotations: Annotations | None = None) -> None:
        super().__init__(listed([f"{source}: {problem}" for problem in problems]))
        self.problems = problems
        self.annotations = annotations


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
    annotations.notes = [f"{count} {what}" for what, count in sorted(reader.values.taken.items())]
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
    for index, entry in enumerate(reader.load(("images",))["images"]):
        pair = reader.checked(f"image number {index}", reader.image_name, entry, names)
        if pair is not None:
            names[pair[0]] = pair[1]
    if reader.problems:
        raise AnnotationError(str(json_file), reader.problems)
    return dict(sorted(names.items()))


class AnnotationReader:
    """Reads one file and gathers what is wrong with its entries.

    Attributes:
        problems: in the order of the file.
        values: what was taken although it is odd.
    """

    def __init__(self, json_file: Path, mask_format: str | None) -> None:
        self.json_file = json_file
        self.mask_format = mask_format
        self.problems: list[str] = []
        self.values = Values()
        self._refused: set[int] = set()  # ids of images that have a problem

    def read(self) -> Annotations:
        """Read the file; entries that have problems are left out.

        Raises:
            AnnotationError: it is no JSON, or a list is missing or empty.
        """
        content = self.load(("images", "annotations", "categories"))
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

    def load(self, lists: tuple[str, ...]) -> dict[str, Any]:
        """Parse the file, an object that has the given lists.

        Raises:
            AnnotationError: it is something else.
        """
        text = ""
        try:
            text = read_text(self.json_file)
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise AnnotationError(str(self.json_file), [f"not a JSON file ({_why_no_json(text, error)})"]) from error
        if not isinstance(content, dict):
            self.fail(f"expected an object with {', '.join(lists)}; got a {type(content).__name__}")
        for key in lists:
            if not isinstance(content.get(key), list):
                keys = ", ".join(shown(name) for name in list(content)[:5]) or "nothing"
                got = f"{key!r} is a {type(content[key]).__name__}" if key in content else f"there is no {key!r}"
                got += "" if key in content or content.keys() & {"images", "categories"} else f" but {keys}"
                note = "; a test set without annotations cannot be trained on or evaluated"
                self.fail(f"{got}, expected a list{note if key == 'annotations' else ''}")
            if not content[key] and key != "annotations":
                self.fail(f"{key!r} is empty, expected at least one")
        return content

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
            category = self.checked(f"category number {index}", self._category, entry, found)
            if category is not None:
                found[category["id"]] = category
        if self.problems:
            self.fail("the classes cannot be told")
        names = check_class_names([category["name"] for category in found.values()], str(self.json_file))
        check_category_ids(list(found), names, str(self.json_file))
        return found

    def _category(self, entry: Any, seen: dict[int, Any]) -> dict[str, Any]:
        number = self.values.integer(_object(entry), "id")
        if number in seen:
            raise FieldError(f"category {number}: this id occurs twice")
        try:
            if type(entry.get("name")) is int:
                self.values.taken["class names that are numbers"] += 1
                return {**entry, "id": number, "name": str(entry["name"])}
            return {**entry, "id": number, "name": self.values.text(entry, "name")}
        except FieldError as error:
            raise FieldError(f"category {number}: {error}") from error

    def images(self, entries: list[Any]) -> dict[int, ImageRecord]:
        """Records without instances, by image id."""
        records: dict[int, ImageRecord] = {}
        for index, entry in enumerate(entries):
            record = self.checked(f"image number {index}", self._image, entry, records)
            if record is not None:
                records[record.image_id] = record
            elif (number := _as_id(entry, "id")) is not None:
                self._refused.add(number)
        return records

    def image_name(self, entry: Any, seen: Mapping[int, Any]) -> tuple[int, str]:
        """Id and file name of an image."""
        number = self.values.integer(_object(entry), "id")
        try:
            if number in seen:
                raise FieldError("this id occurs twice")
            return number, self._file_name(entry)
        except FieldError as error:
            raise FieldError(f"image {number}: {error}") from error

    def _image(self, entry: Any, seen: Mapping[int, ImageRecord]) -> ImageRecord:
        number, name = self.image_name(entry, seen)
        try:
            height, width = self.values.integer(entry, "height"), self.values.integer(entry, "width")
        except FieldError as error:
            raise FieldError(f"image {number}: {error}") from error
        if not (1 <= height <= _LONGEST_SIDE and 1 <= width <= _LONGEST_SIDE):
            raise FieldError(f"image {number}: height {height} and width {width}, expected 1 to {_LONGEST_SIDE}")
        return ImageRecord(number, name, height, width)

    def _file_name(self, entry: dict[str, Any]) -> str:
        """The name, or as detectron2 does for LVIS the end of the URL: ``train2017/000000391895.jpg``."""
        if not entry.get("file_name") and "coco_url" in entry:
            return "/".join(self.values.text(entry, "coco_url").split("/")[-2:])
        name = self.values.text(entry, "file_name")
        if not name or "\0" in name:
            raise FieldError(f"field 'file_name' is {shown(name)}, expected a path")
        if "\\" in name and os.sep == "/":
            self.values.taken["file names with backslashes, taken for slashes"] += 1
            return name.replace("\\", "/")
        return name

    def annotations(self, entries: list[Any], records: dict[int, ImageRecord], label_of: dict[int, int]) -> None:
        """Check all annotations and add them to their images' records."""
        seen: set[int | str] = set()
        maskless = 0
        for index, entry in enumerate(entries):
            where = _where(index, entry, records)
            record = self.checked(where, self._image_of, entry, records, seen)
            instance = None if record is None else self.checked(where, self._instance, entry, record, label_of)
            if instance is None or record is None:
                continue
            if self.mask_format is not None and instance.segmentation is None and not instance.crowd:
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
            self.values.taken["instances without a polygon of at least 3 points, left out"] += maskless
        if flat := sum(not instance.trainable and not instance.crowd for instance in kept):
            self.values.taken["instances whose box has no area inside the image, not trained on"] += flat

    def _image_of(self, entry: Any, records: dict[int, ImageRecord], seen: set[int | str]) -> ImageRecord | None:
        """The image of an annotation; None: what is wrong with it is known."""
        number = _annotation_id(_object(entry))
        if number is not None and number in seen:
            raise FieldError("this id occurs twice")
        if number is None:
            self.values.taken["annotations without an id"] += 1
        else:
            seen.add(number)
        image_id = self.values.integer(entry, "image_id")
        if image_id in self._refused:
            return None
        if image_id not in records:
            raise FieldError(f"image_id {image_id} is not among the images")
        return records[image_id]

    def _instance(self, entry: dict[str, Any], record: ImageRecord, label_of: dict[int, int]) -> Instance:
        category_id = self.values.integer(entry, "category_id")
        if category_id not in label_of:
            raise FieldError(f"category_id {category_id} is not among the categories")
        crowd = self._crowd(entry)
        segmentation = None
        if self.mask_format is not None and not (crowd and entry.get("segmentation") is None):
            form = "bitmask" if crowd else self.mask_format  # crowd regions are not trained on
            segmentation = read_segmentation(entry, record.height, record.width, self.values, mask_format=form)
        bbox = self._bbox(entry, segmentation)
        box = _clipped(bbox, record)
        if max(map(abs, (*bbox[:2], bbox[0] + bbox[2], bbox[1] + bbox[3]))) > _FARTHEST:
            self.values.taken["boxes that reach far beyond their image, clipped"] += 1
            bbox = (box[0], box[1], box[2] - box[0], box[3] - box[1])
        area = self._area(entry)
        return Instance(label_of[category_id], box, bbox, segmentation, crowd, area, _annotation_id(entry))

    def _bbox(self, entry: dict[str, Any], mask: Segmentation | None) -> tuple[float, float, float, float]:
        value = entry.get("bbox")
        if (value is None or value == []) and (box := extent(mask)) is not None:
            self.values.taken["boxes that are missing, taken from the mask"] += 1
            return box
        if "bbox" not in entry:
            raise FieldError("field 'bbox' is missing")
        numbers = [self.values.number(it) for it in value] if isinstance(value, list) else []
        if len(numbers) != 4 or any(number != number for number in numbers):
            raise FieldError(f"field 'bbox' is {shown(value)}, expected 4 finite numbers: x, y, width, height")
        return numbers[0], numbers[1], numbers[2], numbers[3]

    def _crowd(self, entry: dict[str, Any]) -> bool:
        crowd = self.values.flag(entry, "iscrowd")
        if not crowd and self.values.flag(entry, "ignore"):
            text = "instances marked 'ignore', taken for crowd regions (the overlap of a crowd is measured otherwise)"
            self.values.taken[text] += 1
            return True
        return crowd

    def _area(self, entry: dict[str, Any]) -> float | None:
        """A number of at least 0; None: an evaluation computes it."""
        value = entry.get("area")
        area = self.values.number(value) if not isinstance(value, str) else -1.0
        if 0 <= area <= _FARTHEST**2:  # the metric leaves out what is larger
            return area
        if value is not None:
            self.values.taken["areas that are no numbers from 0 to 1e10, computed"] += 1
        return None

    def _extras(self, entries: list[Any], ids: set[int]) -> dict[int, dict[str, list[int]]]:
        """LVIS' lists of categories, of images that have any."""
        found = {}
        for entry in entries:
            number = _as_id(entry, "id")
            if number is not None and all(isinstance(entry.get(key), list) for key in _EXTRAS):
                listed = {key: [_as_id({key: it}, key) for it in entry[key]] for key in _EXTRAS}
                found[number] = {key: [it for it in its if it in ids] for key, its in listed.items()}
        return found


def _as_id(entry: Any, key: str) -> int | None:
    """An id as it is read; None: there is none."""
    try:
        return Values().integer(_object(entry), key)
    except FieldError:
        return None


def _why_no_json(text: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    start = text[:200].lstrip()
    if start.startswith("version https://git-lfs"):
        return "it is a pointer of Git LFS; fetch the file itself by git lfs pull"
    if start.startswith("<"):
        return "it begins as HTML or XML"
    return str(error) if start or not isinstance(error, json.JSONDecodeError) else "it is empty"


def _object(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise FieldError(f"expected an object, got {shown(entry)}")
    return entry


def _annotation_id(entry: dict[str, Any]) -> int | str | None:
    """It only has to be unique: the evaluation numbers anew."""
    value = entry.get("id")
    if value is None or (isinstance(value, int | str) and not isinstance(value, bool)):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise FieldError(f"field 'id' is {shown(value)}, expected int")


def _where(index: int, entry: Any, records: dict[int, ImageRecord]) -> str:
    """Name an annotation and its image for messages."""
    number = entry.get("id") if isinstance(entry, dict) else None
    name = f"annotation number {index}" if not isinstance(number, int | str) else f"annotation {shown(number)}"
    image_id = _as_id(entry, "image_id")
    record = None if image_id is None else records.get(image_id)
    return name if record is None else f"image {record.image_id} ({record.file_name}), {name}"


def _clipped(bbox: tuple[float, float, float, float], record: ImageRecord) -> tuple[float, float, float, float]:
    x, y, width, height = bbox
    x_end, y_end = (min(max(v, 0.0), side) for v, side in ((x + width, record.width), (y + height, record.height)))
    return min(max(x, 0.0), record.width), min(max(y, 0.0), record.height), x_end, y_end
