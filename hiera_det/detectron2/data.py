"""Datasets and training images on detectron2's side."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data import transforms as T
from detectron2.structures import BoxMode

from hiera_det.coco.records import Annotations, ImageRecord, Instance
from hiera_det.data.catalog import LAYOUT, DatasetFiles, own_datasets, resolve_dataset
from hiera_det.data.findings import Findings, some

__all__ = [
    "annotations_of",
    "build_mapper",
    "check_classes",
    "classes_of",
    "examine_narrow",
    "find_dataset",
    "register_dataset",
]


_annotations: dict[str, Annotations] = {}  # of the datasets that are registered here


def register_dataset(files: DatasetFiles, annotations: Annotations) -> str:
    """Register a COCO-format dataset as this project's reader has read it, and give its name.

    It is the files' name, or where another dataset has that, with the path of the JSON behind it.

    Args:
        files: the dataset.
        annotations: of its JSON.
    """
    place = {"json_file": str(files.json_file), "image_root": str(files.image_root)}
    name = files.name
    if name in DatasetCatalog and not _is_at(name, place):
        name = f"{files.name} ({files.json_file})"
    if name in DatasetCatalog:  # detectron2's own reader of the same files, or of an earlier run in this process
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, partial(_to_dicts, annotations, files.image_root))
    ids = {number: label for label, number in enumerate(annotations.category_ids)}
    MetadataCatalog.get(name).set(
        **place,
        evaluator_type="coco",
        thing_classes=annotations.class_names,
        thing_dataset_id_to_contiguous_id=ids,
    )
    _annotations[name] = annotations
    return name


def annotations_of(name: str) -> Annotations | None:
    """The annotations of a dataset that :func:`register_dataset` has registered; None: it is another's."""
    return _annotations.get(name)


def _is_at(name: str, place: dict[str, str]) -> bool:
    known = MetadataCatalog.get(name)
    return all(known.get(key) == value for key, value in place.items())


def _to_dicts(annotations: Annotations, root: Path) -> list[dict[str, Any]]:
    """detectron2's standard dataset dicts."""
    return [
        {
            "file_name": str(root / record.file_name),
            "image_id": record.image_id,
            "height": record.height,
            "width": record.width,
            "annotations": [_to_dict(instance) for instance in record.instances],
        }
        for record in annotations.records
    ]


def _to_dict(instance: Instance) -> dict[str, Any]:
    entry = {
        "bbox": list(instance.bbox),
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": instance.label - 1,
        "iscrowd": int(instance.crowd),
    }
    mask = instance.segmentation
    if mask is None:
        return entry
    return {**entry, "segmentation": mask if isinstance(mask, dict) else [polygon.reshape(-1) for polygon in mask]}


def find_dataset(cfg: CfgNode, name: str) -> DatasetFiles | None:
    """The files of one's own dataset, of this project's or of COCO; None: detectron2 has it from elsewhere.

    Raises:
        ValueError: the name is unknown.
        FileNotFoundError: a file is missing; the message says where it was looked for.
    """
    if name in LAYOUT or name in own_datasets(cfg.DATASETS.FILES):
        return resolve_dataset(name, cfg.DATASETS.FILES)
    if name not in DatasetCatalog:
        raise ValueError(
            f"unknown dataset {name!r}: neither registered with detectron2 nor one of {', '.join(LAYOUT)}. For a"
            " dataset of your own give --dataset-json and --image-root"
        )
    return None


def examine_narrow(cfg: CfgNode, annotations: Annotations, findings: Findings, *, training: bool) -> None:
    """Look for images that detectron2 resizes to no pixel: its sides are not at least 1."""
    node = cfg.INPUT
    longest = node.MAX_SIZE_TRAIN if training else node.MAX_SIZE_TEST
    if training and node.CROP.ENABLED and node.CROP.TYPE == "large_scale_jitter":
        longest *= node.CROP.SIZE[0]
    narrow = [it.file_name for it in annotations.records if _share(it) * longest < 0.5]
    if narrow:
        text = (
            f"{annotations.source}: detectron2 cannot resize {len(narrow)} images, which are too narrow: {some(narrow)}"
        )
        findings.add("problem", f"{text}; leave them out, or take --backend torchvision")


def _share(record: ImageRecord) -> float:
    return min(record.height, record.width) / max(record.height, record.width)


def check_classes(cfg: CfgNode, names: Iterable[str]) -> None:
    """See that loaded datasets have as many classes as the model.

    Raises:
        ValueError: they do not.
    """
    key = "RETINANET" if cfg.MODEL.META_ARCHITECTURE == "RetinaNet" else "ROI_HEADS"
    expected = cfg.MODEL[key].NUM_CLASSES
    for name in names:
        classes = MetadataCatalog.get(name).get("thing_classes", ())
        if classes and len(classes) != expected:
            raise ValueError(
                f"dataset {name} has {len(classes)} categories, but MODEL.{key}.NUM_CLASSES is {expected};"
                f" set it to {len(classes)}"
            )


def classes_of(name: str) -> tuple[list[str], list[int]]:
    """Names and ids of a dataset's categories, in the order of the labels; empty where its metadata has none.

    Raises:
        KeyError: no dataset is registered under that name.
    """
    annotations = annotations_of(name)
    if annotations is not None:
        return annotations.class_names, annotations.category_ids
    metadata = MetadataCatalog.get(name)
    if not metadata.get("thing_classes"):
        DatasetCatalog.get(name)  # which fills it in, for COCO-format files
    names = list(metadata.get("thing_classes", ()))
    ids = metadata.get("thing_dataset_id_to_contiguous_id", {})
    return names, sorted(ids, key=ids.get) if len(ids) == len(names) else list(range(1, len(names) + 1))


def build_mapper(cfg: CfgNode) -> DatasetMapper:
    """The mapper of training images, with large-scale jitter where ``INPUT.CROP`` asks for it.

    Flip, then a scale from ``INPUT.CROP.SIZE`` times the square of ``INPUT.MAX_SIZE_TRAIN``, then a cut to it; boxes
    are taken from what is left of the masks. Otherwise it is detectron2's own mapper.

    Raises:
        ValueError: shapely is missing, with which detectron2 cuts polygons.
    """
    node = cfg.INPUT
    if not node.CROP.ENABLED or node.CROP.TYPE != "large_scale_jitter":
        return DatasetMapper(cfg, is_train=True)
    if find_spec("shapely") is None:
        raise ValueError("INPUT.CROP: detectron2 cuts polygons with shapely, which is missing: pip install shapely")
    flip = [] if node.RANDOM_FLIP == "none" else [_flip(node.RANDOM_FLIP)]
    side = node.MAX_SIZE_TRAIN
    jitter = [T.ResizeScale(*node.CROP.SIZE, side, side), T.FixedSizeCrop((side, side), pad=False)]
    return DatasetMapper(
        is_train=True,
        augmentations=[*flip, *jitter],
        image_format=node.FORMAT,
        use_instance_mask=cfg.MODEL.MASK_ON,
        instance_mask_format=node.MASK_FORMAT,
        recompute_boxes=cfg.MODEL.MASK_ON,
    )


def _flip(direction: str) -> T.RandomFlip:
    return T.RandomFlip(horizontal=direction == "horizontal", vertical=direction == "vertical")
