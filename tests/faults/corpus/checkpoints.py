"""Checkpoints of runs whose config, classes or state are hostile, through `predict` and `info`."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.faults.case import Case, copy
from tests.faults.corpus.ports import PORT
from tests.faults.material import Material

__all__ = ["cases"]


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    final = good.detection_run / "model_final.pth"
    files = good.made("checkpoints", lambda folder: _write(final, folder))
    image = next((good.pictures / "a").iterdir())
    predict = ("predict", "--weights", "x.pth", "--input", str(image), "--output", "out")
    for command, words in (("predict", predict), ("info", ("info", "x.pth"))):
        yield Case(f"good_{command}", words, copy(final, "x.pth"), good=True)
        for path in sorted(files.iterdir()):
            yield Case(f"{command}_{path.stem}", words, copy(path, "x.pth"))


_KEYS: dict[str, Any] = {
    "MODEL.HIERA.EMBED_DIM": [10**9, -1, 0, "x", 1.5],
    "MODEL.HIERA.NUM_HEADS": [0, -1, 10**9],
    "MODEL.HIERA.STAGES": [[10**6] * 4, [], [0, 0, 0, 0], [-1, 1, 1, 1]],
    "MODEL.HIERA.WINDOW_SIZES": [[0, 0, 0, 0], [-1] * 4, [10**9] * 4, [3] * 4],
    "MODEL.HIERA.GLOBAL_BLOCKS": [[10**9], [-1], ["x"]],
    "MODEL.HIERA.SQUARE_PAD": [10**9, -1, 7],
    "MODEL.HIERA.NAME": ["other", "../../x", ""],
    "MODEL.FPN.OUT_CHANNELS": [10**9, 0, -1],
    "MODEL.ROI_HEADS.NUM_CLASSES": [10**9, 0, -1],
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": [10**6, 0],
    "MODEL.ROI_BOX_HEAD.NUM_FC": [10**8, -1],
    "MODEL.ROI_MASK_HEAD.NUM_CONV": [10**8, -1],
    "MODEL.ANCHOR_GENERATOR.SIZES": [[], [[]], [[float("nan")]], [[-1.0]], [list(range(100_000))]],
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[[0.0]], [[-1.0]], [[float("inf")]]],
    "MODEL.RPN.PRE_NMS_TOPK_TEST": [-1, 10**12, 2**70],
    "MODEL.RPN.NMS_THRESH": [float("nan"), -1.0],
    "MODEL.PIXEL_STD": [[0.0] * 3, [float("nan")] * 3, [1.0] * 7],
    "MODEL.DEVICE": ["cuda:99", "meta", "nothing", ""],
    "MODEL.WEIGHTS": [f"http://127.0.0.1:{PORT}/x.pth", "hf://a/b", "/dev/zero"],
    "INPUT.MIN_SIZE_TEST": [10**9, -1],
    "INPUT.MAX_SIZE_TEST": [10**9, -1, 0],
    "INPUT.MAX_PIXELS": [-1, 10**30],
    "INPUT.FORMAT": ["XYZ", "L"],
    "TEST.DETECTIONS_PER_IMAGE": [10**12, -2, 2**70],
    "OUTPUT_DIR": ["/proc/nothing", "\x00", "\ud800"],
    "SEED": [2**70, "x"],
    "_BASE_": ["x.pth", "/etc/passwd", "/dev/zero"],
}
_ENTRIES: dict[str, list[Any]] = {
    "class_names": [["\ud800"] * 3, ["\x1b[2J", "=1", "a\0b"], ["x"] * 3, [1, 2, 3], "abc", ["x" * 10**6] * 3, []],
    "category_ids": [[10**400, 1, 2], [1, 1, 1], [0.5, 1, 2], "abc", []],
    "task": ["actions", "pretraining", "other", 3, None],
    "iteration": [-1, 10**400, "x", 1.5, None],
    "licence": ["\x1b[2J", "x" * 10**6, 3],
    "hiera_det_version": ["99.0", "x" * 10**6, 3],
    "config": [None, [], "x", {}, {"MODEL": 3}, {1: 2}, {"MODEL": {"HIERA": {"UNKNOWN": 1}}}, {"TASK": "actions"}],
    "model": [None, [], {}, {"x": 1}],
}


def _write(final: Path, folder: Path) -> None:
    import torch

    checkpoint = torch.load(final, weights_only=True)
    folder.mkdir()
    for key, values in _KEYS.items():
        for number, value in enumerate(values):
            changed = {**checkpoint, "config": deepcopy(checkpoint["config"])}
            *nodes, last = key.split(".")
            node = changed["config"]
            for name in nodes:
                node = node[name]
            node[last] = value
            torch.save(changed, folder / f"{key}_{number}.pth")
    for key, values in _ENTRIES.items():
        for number, value in enumerate(values):
            torch.save({**checkpoint, key: value}, folder / f"entry_{key}_{number}.pth")
    state = checkpoint["model"]
    for name, change in _states(state).items():
        torch.save({**checkpoint, "model": change}, folder / f"state_{name}.pth")
    deep: Any = 1
    for _ in range(300):
        deep = {"x": deep}
    torch.save({**checkpoint, "config": deep}, folder / "config_deep.pth")
    cycle: dict[str, Any] = {}
    cycle["MODEL"] = cycle
    torch.save({**checkpoint, "config": cycle}, folder / "config_cycle.pth")
    laughs: Any = ["ha"]
    for _ in range(40):
        laughs = [laughs] * 4
    torch.save({**checkpoint, "config": {"LOGGERS": laughs}}, folder / "config_laughs.pth")


def _states(state: dict[str, Any]) -> dict[str, Any]:
    import torch

    first = next(iter(state))
    last = next(key for key in state if "cls_score.weight" in key)
    return {
        "nan": {**state, last: state[last] * float("nan")},
        "expanded": {**state, last: torch.zeros(1).expand(2**34)},
        "expanded_like": {**state, last: state[last][:1].expand(2**31, *state[last].shape[1:])},
        "integers": {key: value.long() for key, value in state.items()},
        "one_missing": {key: value for key, value in state.items() if key != last},
        "one_more": {**state, "\x1b[2J": torch.zeros(2)},
        "no_numbers": {key: value[:0] for key, value in state.items()},
        "transposed": {**state, first: state[first].transpose(0, -1)},
        "single": {**state, last: torch.tensor(0.0)},
        "module": {f"module.{key}": value for key, value in state.items()},
    }
