"""COCO JSONs through `check`, `train`'s reader and `extract`."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from tests.faults.case import Case, put
from tests.faults.corpus.bytes_of import flipped, no_files, strangers, truncated
from tests.faults.material import Material

__all__ = ["cases"]


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    source = good.shapes / "annotations" / "instances_val.json"
    content = json.loads(source.read_bytes())
    data = source.read_bytes()
    check = ("check", "--config", str(good.detection_config), "--image-root", str(good.shapes / "val"))
    check += ("--dataset-json", "x.json")
    extract = ("extract", "--config", str(good.features_config), "--image-root", str(good.shapes / "val"))
    extract += ("--input", "x.json", "--output", "out")
    boxes = (*extract, "--coco-boxes", "FEATURES.VECTORS", "['mean','roi']")
    for reader, words in (("check", check), ("extract", extract)):
        yield Case(f"good_{reader}", words, put("x.json", data), good=True)
        for name, text in (*strangers(), *truncated(data, 8)):
            yield Case(f"{reader}_{name}", words, put("x.json", text), refused=True)
        for name, write in no_files("x.json"):
            yield Case(f"{reader}_{name}", words, write, refused=True)
        for name, text in _documents(content).items():
            yield Case(f"{reader}_{name}", words, put("x.json", text))
    for name, text in flipped(data, 12, seed=1):
        yield Case(f"check_{name}", check, put("x.json", text))
    for name, text in _changed(content):
        yield Case(f"check_{name}", check, put("x.json", text), like="good_check")
    yield Case("good_boxes", boxes, put("x.json", data), good=True)
    for name, text in list(_changed(content))[::4]:
        yield Case(f"boxes_{name}", boxes, put("x.json", text), like="good_boxes")
    yield from _of_training(good, content)


def _of_training(good: Material, content: dict[str, Any]) -> Iterator[Case]:
    """Masks go into C code where a training draws them."""
    words = ("train", "--backend", "torchvision", "--config", str(good.detection_config), "OUTPUT_DIR", "out")
    words += ("--image-root", str(good.shapes / "val"), "--dataset-json", "x.json")
    words += ("SOLVER.MAX_ITER", "1", "SOLVER.STEPS", "[]", "SOLVER.WARMUP_ITERS", "0")
    yield Case("good_train", words, put("x.json", json.dumps(content)), good=True)
    for name, mask in _MASKS.items():
        changed = deepcopy(content)
        for annotation in changed["annotations"]:
            annotation["segmentation"] = mask
        yield Case(f"train_{name}", words, put("x.json", json.dumps(changed)))


def _documents(content: dict[str, Any]) -> dict[str, str]:
    text = json.dumps(content)
    found = {
        "deep": "[" * 5000 + "]" * 5000,
        "deep_objects": '{"images":' * 20_000,
        "deep_field": text[:-1] + ', "info": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "long_number": text.replace('"id": 1', '"id": ' + "9" * 5000, 1),
        "power": text.replace('"height": 64', '"height": 1' + "0" * 400, 1),
        "nan": text.replace('"height": 64', '"height": NaN', 1),
        "infinity": text.replace('"height": 64', '"height": -Infinity', 1),
        "exponent": text.replace('"height": 64', '"height": 1e999', 1),
        "list": "[]",
        "empty_object": "{}",
        "null": "null",
        "results": '[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]',
        "twice": text[:-1] + ', "images": 3}',
        "comment": "// x\n" + text,
        "lines": text.replace("}, {", "}\n{"),
        "surrogate_key": '{"\\ud800": 1}',
        "many_strangers": json.dumps(
            {"images": [{"id": n} for n in range(50_000)], "annotations": [], "categories": []}
        ),
    }
    names = {
        "surrogate": "\ud800",
        "nul": "a\0b",
        "escape": "\x1b[2J\r\n",
        "formula": "=cmd|'/c calc'!A0",
        "long": "x" * 10**6,
    }
    names |= {"html": "<script>alert(1)</script>", "above": "../../../../etc/passwd", "absolute": "/etc/passwd"}
    names |= {"empty": "", "dot": ".", "folder": "..", "device": "/dev/zero", "bidi": "\u202egnp.exe"}
    for name, value in names.items():
        changed = deepcopy(content)
        changed["images"][0]["file_name"] = value
        found[f"file_{name}"] = json.dumps(changed)
        changed = deepcopy(content)
        changed["categories"][0]["name"] = value
        found[f"class_{name}"] = json.dumps(changed)
    return found


def _changed(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each field of an image, an annotation and a category with each strange value; then several at random."""
    fields = {
        "images": ("id", "height", "width", "file_name"),
        "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"),
        "categories": ("id", "name", "frequency"),
    }
    values: dict[str, Any] = {**_PLAIN, **_MASKS}
    for part, names in fields.items():
        for field in names:
            for name in _PLAIN if field != "segmentation" else values:
                changed = deepcopy(content)
                changed[part][0][field] = values[name]
                yield f"{part}_{field}_{name}", json.dumps(changed)
        for name, value in _PLAIN.items():
            yield f"{part}_{name}", json.dumps({**content, part: value})
    draw = random.Random(0)
    for number in range(40):
        changed = deepcopy(content)
        for _ in range(draw.choice([2, 5, 20])):
            part = draw.choice(list(fields))
            draw.choice(changed[part])[draw.choice(fields[part])] = deepcopy(draw.choice(list(values.values())))
        yield f"several_{number}", json.dumps(changed)


_PLAIN: dict[str, Any] = {
    "null": None,
    "true": True,
    "zero": 0,
    "negative": -1,
    "half": 0.5,
    "large": 10**9,
    "huge": 2**63,
    "endless": 10**400,
    "nan": float("nan"),
    "text": "x",
    "list": [],
    "nested": [[[]]],
    "object": {"a": 1},
}
_MASKS: dict[str, Any] = {
    "polygon_large": [[1e9, 1e9, -1e9, 1e9, 0, -1e9]],
    "polygon_huge": [[1e308, 0, 0, 1e308, -1e308, -1e308]],
    "polygon_odd": [[1, 2, 3, 4, 5, 6, 7]],
    "polygon_short": [[1, 2, 3, 4]],
    "polygon_point": [[5.0] * 6],
    "polygon_long": [[float(n % 64) for n in range(100_000)]],
    "polygons_many": [[0.0, 0.0, 5.0, 0.0, 5.0, 5.0]] * 5000,
    "polygon_texts": [["1", "2", "3", "4", "5", "6"]],
    "polygon_nan": [[float("nan")] * 6],
    "rle_sum": {"size": [64, 64], "counts": [10]},
    "rle_negative": {"size": [64, 64], "counts": [-1, 4097]},
    "rle_huge": {"size": [64, 64], "counts": [2**40]},
    "rle_size": {"size": [10**9, 10**9], "counts": [10**18]},
    "rle_size_text": {"size": "64x64", "counts": [4096]},
    "rle_text": {"size": [64, 64], "counts": "P" * 500},
    "rle_backslash": {"size": [64, 64], "counts": "\\\\\\\\"},
    "rle_open": {"size": [64, 64], "counts": "o" * 50},
    "rle_surrogate": {"size": [64, 64], "counts": "\ud800"},
    "rle_floats": {"size": [64, 64], "counts": [1.5]},
    "rle_empty": {"size": [64, 64], "counts": []},
    "rle_runs": {"size": [64, 64], "counts": [0, 1] * 50_000},
}
