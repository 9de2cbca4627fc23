"""Datasets and training images on detectron2's side."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data import transforms as T
from detectron2.data.datasets import register_coco_instances

from hiera_det.data.annotations import read_annotations
from hiera_det.data.catalog import LAYOUT, DatasetFiles, resolve_dataset

__all__ = ["build_mapper", "check_classes", "classes_of", "register_dataset", "register_named"]


def register_dataset(files: DatasetFiles) -> str:
    """Register a COCO-format dataset under its name, and give the name back.

    Raises:
        ValueError: the name is another dataset's, or the other backend would refuse the annotations.
    """
    read_annotations(files.json_file, mask_format=None)  # detectron2 takes ids of text, for example
    place = {"json_file": str(files.json_file), "image_root": str(files.image_root)}
    if files.name not in DatasetCatalog:
        register_coco_instances(files.name, {}, **place)
    known = MetadataCatalog.get(files.name)
    if any(known.get(key) != value for key, value in place.items()):
        raise ValueError(f"{files.json_file}: detectron2 has another dataset named {files.name!r}; rename the file")
    return files.name


def register_named(names: Iterable[str]) -> None:
    """Register what of this project's datasets is named and detectron2 does not have: "shapes_train", "shapes_val".

    Raises:
        ValueError: the name is unknown.
        FileNotFoundError: a file of this project's or COCO's is missing; the message says where it was looked for.
    """
    for name in names:
        if name not in LAYOUT and name not in DatasetCatalog:
            raise ValueError(
                f"unknown dataset {name!r}: neither registered with detectron2 nor one of {', '.join(LAYOUT)}. For a"
                " dataset of your own give --dataset-json and --image-root"
            )
        if name in LAYOUT:
            files = resolve_dataset(name)
            if name not in DatasetCatalog:
                register_dataset(files)


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
