"""YAML files and overrides of configs, through `check` of each task and `extract`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.faults.case import Case, Write, put
from tests.faults.corpus.bytes_of import no_files, strangers
from tests.faults.corpus.ports import PORT
from tests.faults.material import Material

__all__ = ["cases"]


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    text = good.detection_config.read_text()
    words = ("check", "--config", "x.yaml", *good.shapes_words("train", "val"))
    yield Case("good", words, put("x.yaml", text), good=True)
    for name, content in strangers():
        yield Case(name, words, put("x.yaml", content), refused=name != "line_feed")
    for name, write in no_files("x.yaml"):
        yield Case(name, words, write, refused=True)
    for name, content in _documents(text).items():
        yield Case(f"yaml_{name}", words, put("x.yaml", content))
    for name, write in _bases(text).items():
        yield Case(f"base_{name}", words, write, refused=True)
    own = yaml.safe_load(text)
    for key, values in _VALUES.items():
        for number, value in enumerate(values):
            changed = _with(own, key, value)
            yield Case(f"value_{key}_{number}", words, put("x.yaml", yaml.safe_dump(changed)))
    for number, pair in enumerate(_OVERRIDES):
        yield Case(f"override_{number}", (*words, *pair), put("x.yaml", text), refused=True)
    yield from _of_other_tasks(good)


def _of_other_tasks(good: Material) -> Iterator[Case]:
    checks = ("check", "--config")
    extract = ("extract", "--input", str(good.pictures), "--output", "out", "--config")
    tasks = {
        "actions": (good.actions_config, checks, _ACTIONS),
        "pretraining": (good.pretraining_config, checks, _PRETRAINING),
        "features": (good.features_config, extract, _FEATURES),
    }
    for name, (path, words, table) in tasks.items():
        own = yaml.safe_load(path.read_text())
        yield Case(f"good_{name}", (*words, "x.yaml"), put("x.yaml", path.read_text()), good=True)
        for kind in ("brackets", "nul_text"):
            yield Case(f"{name}_{kind}", (*words, "x.yaml"), put("x.yaml", dict(strangers())[kind]), refused=True)
        for key, values in table.items():
            for number, value in enumerate(values):
                text = yaml.safe_dump(_with(own, key, value))
                yield Case(f"{name}_{key}_{number}", (*words, "x.yaml"), put("x.yaml", text))


def _with(values: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    first, _, rest = key.partition(".")
    below = values.get(first)
    return {**values, first: _with(below if isinstance(below, dict) else {}, rest, value) if rest else value}


def _documents(text: str) -> dict[str, bytes | str]:
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
    )
    return {
        "laughs": laughs + f"LOGGERS: *a29\n{text}",
        "laughs_as_value": "SEED: &a0 [x, x]\n" + laughs.replace("a0: &a0 [x, x]\n", ""),
        "merges": merges,
        "cycle": "&a {SEED: 1, MODEL: *a}",
        "cycle_list": "LOGGERS: &a [*a]",
        "deep_flow": "SEED: " + "[" * 20_000 + "]" * 20_000,
        "deep_maps": "{a: " * 20_000 + "1" + "}" * 20_000,
        "deep_block": "".join(" " * n + "a:\n" for n in range(3000)),
        "deep_1000": "SEED: " + "[" * 990 + "]" * 990,
        "python_call": "SEED: !!python/object/apply:os.system ['touch called']",
        "python_name": "SEED: !!python/name:os.system",
        "python_module": "SEED: !!python/module:antigravity",
        "python_tuple": "SEED: !!python/tuple [1, 2]",
        "python_new": "SEED: !!python/object/new:subprocess.Popen [['touch', 'called']]",
        "tag_unknown": "SEED: !other 1",
        "tag_binary": "SEED: !!binary aGFsbG8=",
        "tag_set": "SEED: !!set {a, b}",
        "date": "SEED: 2020-01-01",
        "sexagesimal": "SEED: " + ":".join(["59"] * 500),
        "long_number": "SEED: " + "9" * 100_000,
        "hex_number": "SEED: 0x" + "f" * 100_000,
        "float_huge": "SOLVER: {BASE_LR: 1e999}",
        "nan": "SOLVER: {BASE_LR: .nan}",
        "two_documents": f"{text}\n---\n{text}",
        "twice": "SEED: 1\nSEED: 2\nSEED: x",
        "number_key": "1: 2",
        "null_key": "~: 2",
        "list_key": "[1, 2]: 3",
        "dotted_key": "MODEL.HIERA.NAME: x",
        "list": "[1, 2, 3]",
        "scalar": "hello",
        "tabs": "\tSEED: 1",
        "anchor_absent": "SEED: *nothing",
        "utf16": text.encode("utf-16"),
        "latin1": "OUTPUT_DIR: gr\xfc\xdfe".encode("latin-1"),
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "escapes": 'OUTPUT_DIR: "\\e[2J\\0"',
        "surrogate": 'OUTPUT_DIR: "\\ud800"',
        "control": b"SEED: \x1b[2J",
        "directive": "%YAML 9.9\n---\nSEED: 1",
        "many_keys": "".join(f"K{n}: 1\n" for n in range(20_000)),
        "long_line": "OUTPUT_DIR: " + "x" * 5_000_000,
        "percent": "OUTPUT_DIR: '%n%s{0}${HOME}$(touch called)`touch called`'",
        "unknown_key": text + "\nUNKNOWN: 1",
        "task_unknown": text + "\nTASK: \x85other",
        "task_list": "TASK: [detection]",
    }


def _bases(text: str) -> dict[str, Write]:
    def ring(folder: Path) -> None:
        put("x.yaml", "_BASE_: y.yaml")(folder)
        put("y.yaml", "_BASE_: z.yaml")(folder)
        put("z.yaml", "_BASE_: y.yaml")(folder)

    def chain(folder: Path) -> None:
        for number in range(2000):
            put("x.yaml" if not number else f"x{number}.yaml", f"_BASE_: x{number + 1}.yaml\n")(folder)
        put("x2000.yaml", text)(folder)

    def piped(folder: Path) -> None:
        dict(no_files("y.yaml"))["fifo"](folder)
        put("x.yaml", "_BASE_: y.yaml")(folder)

    values = {
        "itself": "x.yaml",
        "itself_dotted": "./x.yaml",
        "absent": "other.yaml",
        "folder": "/",
        "device": "/dev/zero",
        "passwd": "/etc/passwd",
        "url": f"http://127.0.0.1:{PORT}/x.yaml",
        "s3": "s3://x/y",
        "number": "3",
        "list": "[x.yaml, x.yaml]",
        "null": "~",
        "empty": "''",
        "nul": '"a\\0b"',
        "home": "~nobody/x.yaml",
        "long": "x" * 5000,
    }
    found: dict[str, Write] = {name: put("x.yaml", f"_BASE_: {value}\n{text}") for name, value in values.items()}
    for name in ("itself", "itself_dotted"):
        found[name] = put("x.yaml", f"_BASE_: {values[name]}")
    return {**found, "ring": ring, "chain": chain, "fifo": piped}


_NOT = float("nan")
_VALUES: dict[str, list[Any]] = {
    "SEED": [2**70, -(2**70), 1.5, "x", [1], None, True],
    "VIS_PERIOD": [-1, 2**70, 0.5],
    "OUTPUT_DIR": ["", "/proc/x", "x\0y", "\ud800", 3, "/dev/null", "x" * 5000],
    "FLOAT32_PRECISION": ["other", 3],
    "SOLVER.CHECKPOINT_PERIOD": [0, -1, 2**70, 0.5],
    "SOLVER.MAX_ITER": [0, -1, 2**70, 1.5, 10**400],
    "SOLVER.BASE_LR": [_NOT, float("inf"), -1.0, 10**400, "x"],
    "SOLVER.STEPS": [[-1], [5, 3], [2**70], ["x"], [1.5], 3, [0] * 100_000],
    "SOLVER.WARMUP_ITERS": [-1, 2**70],
    "SOLVER.WARMUP_FACTOR": [_NOT, -1.0],
    "SOLVER.GAMMA": [_NOT, -1.0, float("inf")],
    "SOLVER.MOMENTUM": [_NOT, -1.0, 2.0],
    "SOLVER.WEIGHT_DECAY": [_NOT, -1.0],
    "SOLVER.BETAS": [[2.0, 2.0], [0.9], [], [_NOT, 0.9]],
    "SOLVER.IMS_PER_BATCH": [0, -1, 2**70, 0.5],
    "SOLVER.OPTIMIZER": ["OTHER", "", 3],
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": [_NOT, -1.0],
    "TEST.EVAL_PERIOD": [-1, 2**70, 0.5],
    "TEST.DETECTIONS_PER_IMAGE": [-2, 2**70],
    "TEST.METRICS": [["OTHER"], "AR", [1]],
    "LOGGERS": [["other"], "tensorboard", [1], [[["x"]]]],
    "DATALOADER.NUM_WORKERS": [-1, 2**70, 0.5],
    "DATALOADER.SAMPLER_TRAIN": ["Other", 3],
    "INPUT.MIN_SIZE_TRAIN": [[0], [], [-1], [2**70], ["x"], 64, [0.5]],
    "INPUT.MAX_SIZE_TRAIN": [0, -1, 2**70],
    "INPUT.MIN_SIZE_TEST": [-1, 2**70],
    "INPUT.MAX_SIZE_TEST": [0, -1],
    "INPUT.MAX_PIXELS": [0, -1, 2**70],
    "INPUT.PIXEL_RANGE": [[1.0], [5.0, 1.0], [_NOT, 1.0], [0.0, 0.0]],
    "INPUT.FORMAT": ["XYZ", "", 3],
    "INPUT.RANDOM_FLIP": ["diagonal", 3],
    "INPUT.CROP.SIZE": [[0.0, 0.0], [-1.0, 2.0], [_NOT, 1.0]],
    "MODEL.DEVICE": ["", "cuda:99", "other", "cpu:x"],
    "MODEL.PIXEL_MEAN": [[_NOT] * 3, [1.0], "x"],
    "MODEL.PIXEL_STD": [[0.0] * 3, [-1.0] * 3, []],
    "MODEL.HIERA.EMBED_DIM": [0, -1, 2**70, 1.5],
    "MODEL.HIERA.STAGES": [[], [0, 0, 0, 0], [-1] * 4, "x", [2**40] * 4],
    "MODEL.HIERA.DROP_PATH_RATE": [_NOT, -1.0, 2.0],
    "MODEL.HIERA.LAYER_DECAY": [_NOT, -1.0, 0.0],
    "MODEL.HIERA.LAYOUT": ["other", 3],
    "MODEL.BACKBONE.FREEZE_AT": [-1, 99, 2**70],
    "MODEL.RPN.IOU_THRESHOLDS": [[_NOT, 0.5], [0.9, 0.1], []],
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": [0, -1, 2**70],
    "MODEL.RPN.POSITIVE_FRACTION": [_NOT, -1.0, 2.0],
    "MODEL.ROI_HEADS.NUM_CLASSES": [0, -1, 2**70],
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": [_NOT, -1.0, 2.0],
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": [_NOT, -1.0],
    "MODEL": [3, None, [], "x"],
    "DATASETS.TRAIN": ["shapes_train", [3], [["x"]], ["\0"]],
    "VERSION": [99, "x", None],
}
_OVERRIDES = [
    ("SEED",),
    ("SEED", "9" * 5000),
    ("SEED", "[" * 5000),
    ("SOLVER.MAX_ITER", "10**400"),
    ("SOLVER.MAX_ITER", "__import__('os').system('touch called')"),
    ("SOLVER.BASE_LR", "1" + "0" * 400),
    ("SOLVER.STEPS", "(" * 300 + ")" * 300),
    ("SOLVER.CHECKPOINT_PERIOD", "0"),
    ("TEST.EVAL_PERIOD", "-1"),
    ("INPUT.MIN_SIZE_TRAIN", "(0,)"),
    ("MODEL.HIERA", "3"),
    ("MODEL..HIERA", "3"),
    ("MODEL.HIERA.OTHER", "3"),
    ("A" * 5000, "3"),
    ("_BASE_", "x.yaml"),
]
_ACTIONS: dict[str, list[Any]] = {
    "INPUT.NUM_FRAMES": [0, -1, 2**70, 10**9],
    "INPUT.RATE": [0, -1, 2**70, 0.5],
    "INPUT.CROP_SIZE": [0, -1, 2**40, 7],
    "INPUT.MIN_SIZE_TRAIN": [[0, 0], [64], [90, 64], []],
    "INPUT.MIN_SIZE_TEST": [0, -1, 2**40],
    "INPUT.BOX_JITTER": [[_NOT] * 4, [1.0], [-1.0] * 4],
    "INPUT.BOX_EXTENSION": [[_NOT] * 2, [-9.0, 1.0]],
    "DATASETS.ROOT": ["/proc", "\0", "", 3],
    "DATASETS.SOURCE": ["other", 3],
    "DATASETS.FRAME_NAMES": ["x", "{:99999999d}.jpg", "{0.__class__}.jpg", "{:05d}{:05d}.jpg", "../{:05d}", "%s"],
    "DATASETS.FRAME_LISTS": [["x"] * 3, [3], ["/dev/zero"]],
    "DATASETS.FIRST_SECOND": [_NOT, -1.0, 1e308],
    "DATASETS.FPS": [0.0, -1.0, _NOT, 1e308],
    "DATASETS.MIN_BOX_SCORE": [_NOT, -1.0, 2.0],
    "DATASETS.LABEL_MAP": ["/dev/zero", "", "annotations"],
    "DATASETS.TRAIN": ["/dev/zero", "", "annotations", "annotations/actions.pbtxt"],
    "TEST.PROTOCOL": ["other", 3],
    "MODEL.ROI_HEAD.POOLER_RESOLUTION": [0, -1, 10**6],
    "MODEL.ROI_HEAD.DROPOUT": [_NOT, -1.0, 2.0],
    "MODEL.ROI_HEAD.IN_FEATURES": [[], ["res9"], "res5"],
    "MODEL.HIERA.NAME": ["hiera_base_224", "other"],
}
_PRETRAINING: dict[str, list[Any]] = {
    "INPUT.SIZE": [[0, 0], [-1, 64], [63, 64], [64], [2**40, 64], 64],
    "INPUT.REPEATS": [0, -1, 2**70],
    "MODEL.MAE.MASK_RATIO": [_NOT, -1.0, 1.0, 2.0, 0.0],
    "MODEL.MAE.DECODER_EMBED_DIM": [0, -1, 7],
    "MODEL.MAE.DECODER_DEPTH": [-1, 0],
    "MODEL.MAE.DECODER_NUM_HEADS": [0, -1, 3],
    "DATASETS.TRAIN": [[], ["\0"], ["/dev/zero"], [3], ["x-{0..99999999999}.tar"]],
    "DATASETS.EVERY": [_NOT, -1.0, 0.0],
    "DATASETS.IMAGE_ROOT": ["/nothing", 3],
}
_FEATURES: dict[str, list[Any]] = {
    "FEATURES.MAPS": [["res9"], "res4", [3], ["res4", "res4"]],
    "FEATURES.VECTORS": [["other"], [], "mean"],
    "FEATURES.DTYPE": ["int8", 3],
    "FEATURES.PRECISION": ["other"],
    "INPUT.SIZE": [0, -1, 2**40],
    "INPUT.RESIZE": ["other", 3],
    "INPUT.MAX_PIXELS": [0, -1, 2**70],
    "STORE.ITEMS_PER_SHARD": [0, -1, 2**70, 0.5],
    "DATALOADER.BATCH_SIZE": [0, -1, 2**70],
    "DATALOADER.NUM_WORKERS": [-1, 2**70],
    "MODEL.PIXEL_STD": [[0.0] * 3, [_NOT] * 3],
    "MODEL.WEIGHTS": ["/dev/zero", "", "\0", f"http://127.0.0.1:{PORT}/x", "x.yaml", "hf://a/b/c"],
    "MODEL.HIERA.EMBED_DIM": [10**9, 0],
}
