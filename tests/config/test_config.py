"""Configs: detectron2's keys and defaults, bases, overrides, errors; every shipped file builds its model."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
import torch
import yaml

from hiera_det.config import find_config, get_cfg, load_config, save_config, shipped_configs, value_of
from hiera_det.config.ranges import ranges_of
from hiera_det.detection.complexity import count_complexity, format_complexity
from hiera_det.detection.model.config_check import check_config
from hiera_det.features.config import defaults as features_defaults
from hiera_det.pretraining.task import PretrainingTask
from hiera_det.tasks import defaults_of, task_of

CONFIGS = Path(__file__).parents[2] / "configs"
DETECTRON2_ALONE = ("retinanet_hiera_b",)
OWN_KEYS = (
    "TASK",
    "INPUT.IMAGE_SIZE",
    "INPUT.MAX_PIXELS",
    "INPUT.PIXEL_RANGE",
    "DATASETS.FILES",
    "DATASETS.SHA256",
    "SOLVER.OPTIMIZER",
    "SOLVER.BETAS",
    "SOLVER.BASE_LR_BATCH",
    "SOLVER.MAX_EPOCHS",
    "TEST.EVAL_EPOCHS",
    "TEST.METRICS",
    "LOGGERS",
)
SHIPPED = sorted(path for path in CONFIGS.glob("*.yaml") if not path.name.startswith(("base_", "features_")))
# The paper, table 10: parameters in millions and "FLOPs" (multiply-adds) at 1024 x 1024 in T.
PAPER = {"mask_rcnn_hiera_b": (73, 0.6), "mask_rcnn_hiera_b_plus": (92, 0.6), "mask_rcnn_hiera_l": (236, 1.2)}


def walk(node, prefix=""):
    for key, value in node.items():
        yield from walk(value, f"{prefix}{key}.") if hasattr(value, "items") else [(prefix + key, value)]


def test_keys_and_defaults_are_detectron2s():
    reference = pytest.importorskip("detectron2.config", reason="detectron2 is not installed").get_cfg()
    theirs = dict(walk(reference))
    for key, value in walk(get_cfg()):
        if key.startswith("MODEL.HIERA.") or key in OWN_KEYS:
            continue
        assert key in theirs, f"{key} is no key of detectron2"
        assert list(value) == list(theirs[key]) if isinstance(value, (tuple, list)) else value == theirs[key], key


def test_a_runs_config_loads_on_detectron2(tmp_path):
    trainer = pytest.importorskip("hiera_det.detectron2.trainer", exc_type=ImportError)
    save_config(get_cfg(), tmp_path / "config.yaml")
    load_config(tmp_path / "config.yaml", [], trainer.defaults())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_say_how_to_run_them_and_are_supported(path):
    if task_of(path) == "pretraining":
        cfg = load_config(path, (), defaults_of("pretraining"))
        assert PretrainingTask(cfg).cfg == cfg  # its keys are checked
    elif path.stem in DETECTRON2_ALONE:
        with pytest.raises(ValueError, match="--backend detectron2"):
            check_config(load_config(path))
    else:
        check_config(load_config(path))
    header = path.read_text().split("_BASE_")[0]
    assert f"--config configs/{path.name}" in header
    lines = "".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
    assert "[" not in lines.replace("[]", "")


@pytest.mark.parametrize("name", PAPER)
def test_parameters_and_multiply_adds_are_the_papers(name):
    parts = count_complexity(load_config(CONFIGS / f"{name}.yaml"), 1024)
    total = parts[-1]
    parameters, flops = PAPER[name]
    assert total.parameters / 1e6 == pytest.approx(parameters, rel=0.02)
    assert total.multiply_adds / 1e12 == pytest.approx(flops, rel=0.10)
    assert sum(part.parameters for part in parts[:-1]) == total.parameters
    table = format_complexity(parts)
    assert "box head, 1000 proposals" in table and f"{total.parameters / 1e6:.1f}" in table


def test_multiply_adds_of_attention_are_counted():
    """Global attention costs N^2 a block; the released layout has it in 19 of 24 blocks."""
    path = CONFIGS / "mask_rcnn_hiera_b.yaml"
    windowed, released = (
        count_complexity(load_config(path, ["MODEL.HIERA.LAYOUT", layout]), 1024)[0].multiply_adds / 1e9
        for layout in ("windowed", "released")
    )
    assert (round(windowed), round(released)) == (236, 390)  # 0.4 are the position embedding's, resized by products


def test_bases_and_overrides(tmp_path):
    (tmp_path / "base.yaml").write_text("SOLVER:\n  MAX_ITER: 7\n  BASE_LR: 0.5\n")
    (tmp_path / "run.yaml").write_text("_BASE_: base.yaml\nSOLVER:\n  BASE_LR: 0.25\n")
    cfg = load_config(tmp_path / "run.yaml", ["SOLVER.MAX_ITER", "9", "MODEL.HIERA.STAGES", "[1, 1, 2, 1]"])
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR, cfg.MODEL.HIERA.STAGES) == (9, 0.25, [1, 1, 2, 1])
    save_config(cfg, tmp_path / "saved.yaml")
    saved = (tmp_path / "saved.yaml").read_text()
    assert load_config(tmp_path / "saved.yaml").dump() == cfg.dump() == saved
    assert "&" not in saved  # no aliases
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.yaml", "run.yaml", "saved.yaml"]


@pytest.mark.parametrize(
    "content, overrides, message",
    [
        (
            "MODEL:\n  POINT_HEAD:\n    NAME: x\n",
            [],
            r"bad\.yaml: .*MODEL\.POINT_HEAD.*detectron2's that this backend supports",
        ),
        ("MODEL: {}\n", ["MODEL.HIERRA.NAME", "x"], r"command line: .*MODEL\.HIERRA\.NAME"),
        ("MODEL: {}\n", ["SOLVER.MAX_ITER", "many"], r"command line: .*int.*str.*SOLVER\.MAX_ITER"),
        ("MODEL: {}\n", ["SOLVER.MAX_ITER"], "KEY VALUE pairs, but there are 1 words"),
        ("MODEL:\n  - [\n", [], r"bad\.yaml: "),
        ("", [], r"bad\.yaml: it holds no mapping"),
        ("- MODEL\n", [], r"bad\.yaml: it holds no mapping"),
        ("SEED: 1\nMODEL:\n  FPN: {}\n  FPN: {}\n", [], r"bad\.yaml: line 3: .* key 'FPN' stands twice"),
        ("MODEL: {}\n", ["SEED.MORE", "1"], r"command line: Non-existent key: SEED\.MORE"),
        ("MODEL: {}\n", ["OUTPUT_DIR.output", "1"], r"command line: Non-existent key: OUTPUT_DIR\.output"),
    ],
)
def test_errors_name_the_key(tmp_path, content, overrides, message):
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_config(tmp_path / "bad.yaml", overrides)


def test_value_of_a_key_with_dots():
    cfg = get_cfg()
    assert value_of(cfg, "MODEL.HIERA.NAME") == "hiera_base_224"
    assert value_of(cfg, "SEED") == -1 and value_of(cfg, "MODEL") is cfg.MODEL
    for key in ("MODEL.HIERRA.NAME", "SEED.MORE", "MODEL.", ""):
        with pytest.raises(KeyError, match=key):
            value_of(cfg, key)


def test_missing_config():
    with pytest.raises(FileNotFoundError, match=r"no config file at nowhere\.yaml, and no shipped config of that name"):
        load_config("nowhere.yaml")
    with pytest.raises(FileNotFoundError, match=r"is it .*mask_rcnn_hiera_b"):
        load_config("mask_rcnn_hiera_base")


def test_a_shipped_config_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert set(SHIPPED) < set(shipped_configs().values())
    for name in ("quickstart", "quickstart.yaml"):
        assert load_config(name).dump() == load_config(CONFIGS / "quickstart.yaml").dump()
    assert find_config("ava/quickstart").parts[-4:] == ("projects", "ava", "configs", "quickstart.yaml")
    (tmp_path / "quickstart").write_text("SEED: 5\n")
    assert load_config("quickstart").SEED == 5  # a file that is there comes first


def test_configs_are_safe_to_read(tmp_path):
    (tmp_path / "hostile.yaml").write_text(f"MODEL: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    with pytest.raises(ValueError, match=r"hostile\.yaml"):
        load_config(tmp_path / "hostile.yaml")
    assert not (tmp_path / "made").exists()


def test_counting_computes_nothing():
    before = torch.get_rng_state()
    count_complexity(load_config(CONFIGS / "quickstart.yaml"), 128)
    assert torch.equal(before, torch.get_rng_state())


def test_stored_maps_of_0_1_0_are_not_ignored(tmp_path):
    (tmp_path / "run.yaml").write_text("VERSION: 2\nDATASETS:\n  TRAIN_FEATURES: features\n  TEST_FEATURES: ''\n")
    with pytest.raises(ValueError, match=r"run\.yaml: DATASETS\.TRAIN_FEATURES: training from stored maps was"):
        load_config(tmp_path / "run.yaml")


def all_defaults():
    """Configs of every task and backend here, by name."""
    found = {task: defaults_of(task) for task in ("detection", "actions", "pretraining")}
    found["features"] = features_defaults()
    try:
        from hiera_det.detectron2 import trainer
    except ImportError:
        return found
    return found | {"detectron2": trainer.defaults()}


def plain(value):
    """A config's value as lists and dicts."""
    if hasattr(value, "items"):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def leaves(value):
    return [leaf for inner in value for leaf in leaves(inner)] if isinstance(value, (list, tuple)) else [value]


def all_of(value, number):
    return [all_of(inner, number) for inner in value] if isinstance(value, (list, tuple)) else number


def integers_of_floats(cfg):
    """Of each key of floats an integer that it may have, or lists of it; shares between 0 and 1 may have none."""
    found = {}
    for key, value in walk(cfg):
        if leaves(value) and all(isinstance(leaf, float) for leaf in leaves(value)):
            its = ranges_of(cfg).get(key)  # none of detectron2's further keys
            given = [all_of(value, number) for number in (1, 0) if its is None or all_of(value, number) in its]
            found |= {key: given[0]} if given else {}
    return found


@pytest.mark.parametrize("task", all_defaults())
def test_every_float_key_takes_integers_by_file_and_command_line(tmp_path, task):
    defaults = all_defaults()[task]
    keys = integers_of_floats(defaults)
    assert len(keys) > 1
    content = {}
    for key, value in keys.items():
        *nodes, last = key.split(".")
        node = content
        for name in nodes:
            node = node.setdefault(name, {})
        node[last] = value
    path, empty = tmp_path / "a.yaml", tmp_path / "b.yaml"
    path.write_text(yaml.safe_dump(content))
    empty.write_text(f"VERSION: {defaults.VERSION}\n")
    words = [word for key, value in keys.items() for word in (key, str(value))]
    for cfg in (load_config(path, [], defaults), load_config(empty, words, defaults)):
        for key, value in keys.items():
            found = value_of(cfg, key)
            assert plain(found) == value, key
            assert all(type(leaf) is float for leaf in leaves(found)), key


@pytest.mark.parametrize(
    ("key", "value"), [("SOLVER.MAX_ITER", "1.5"), ("SOLVER.BASE_LR", "True"), ("SOLVER.BASE_LR", "1" * 400)]
)
def test_what_is_no_number_of_the_keys_type_stays_an_error(tmp_path, key, value):
    path = tmp_path / "a.yaml"
    path.write_text("VERSION: 2\n")
    with pytest.raises(ValueError, match=key):
        load_config(path, [key, value])
    node, name = key.split(".")
    path.write_text(f"{node}:\n  {name}: {value}\n")
    with pytest.raises(ValueError, match=key):
        load_config(path)


def test_configs_are_read_in_utf_8_whatever_the_locale(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(codecs.BOM_UTF8 + "OUTPUT_DIR: ./Zähler\n".encode())
    assert load_config(path).OUTPUT_DIR == "./Zähler"
    path.write_bytes("OUTPUT_DIR: ./Zähler\n".encode("cp1252"))
    with pytest.raises(ValueError, match=r"a\.yaml, line 1: not UTF-8"):
        load_config(path)
