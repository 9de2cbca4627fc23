"""Configs that are to harm or to hang: whatever a file, a checkpoint or the command line has, one line is the end."""

from __future__ import annotations

import copy
import math
import os

import pytest

from hiera_det.config import config_from, load_config, to_plain
from hiera_det.config.yaml_files import read_yaml
from hiera_det.features.config import defaults as features_defaults
from hiera_det.tasks import defaults_of, task_of

DEFAULTS = {
    **{task: defaults_of(task) for task in ("detection", "actions", "pretraining")},
    "features": features_defaults(),
}
HOSTILE = (
    *(-1, 0, 2**70, 10**39, 10**400, 10**5000, 1e308, math.nan, math.inf, True, None),
    *([], [None], [[]], [math.nan], ["text"], [-1], [10**39], [{}], {}, {"A": 1}),
    *("", "x" * 10**5, "\0", "\ud800", "a\nb", "(" * 5000, "-" * 5000 + "1", "0x" + "f" * 10**4, "{[]: 1}"),
)


def short(value):
    """A name for a test; pytest's own would be as long as the value."""
    return "integer" if isinstance(value, int) else repr(value)[:20]


def keys_of(node, prefix=()):
    for key, value in node.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from keys_of(value, (*prefix, key))


@pytest.mark.parametrize("task", DEFAULTS)
@pytest.mark.parametrize("value", HOSTILE, ids=[f"value{i}" for i in range(len(HOSTILE))])
def test_no_value_of_any_key_is_more_than_an_error(task, value):
    """It is taken, or refused in one line."""
    plain = to_plain(DEFAULTS[task])
    shared = set(keys_of(DEFAULTS["detection"])) if task != "detection" else set()
    for path in set(keys_of(DEFAULTS[task])) - shared:
        values = copy.copy(plain)
        node = values
        for name in path[:-1]:
            node[name] = copy.copy(node[name])
            node = node[name]
        node[path[-1]] = value
        try:
            config_from(values, (), DEFAULTS[task], source="the config in model.pth")
        except ValueError as error:
            line = str(error)
            assert "\n" not in line and len(line) < 2000
            assert path[-1] in line or "the config in model.pth: it" in line, line


def alias_bomb(kind):
    """A file of some hundred characters that stands for 10**9 values, or copies as many."""
    first, of = ("[x, x, x, x, x, x, x, x, x, x]", "[{}]") if kind == "list" else ("{x: 1, y: 2}", "{{<<: [{}]}}")
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{i}: &a{i} {of.format(', '.join([f'*a{i - 1}'] * 10))}" for i in range(1, 10)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (alias_bomb("list"), "more than 100000 values"),
        (alias_bomb("merge"), "more than 100000 values"),
        ("A: &a [*a]\n", "or holds itself"),
        ("A: &a\n  B: *a\n", "or holds itself"),
        ("&a {<<: *a}\n", "or holds itself"),
        ("A: " + "[" * 100_000, "line 1: more than 100000 values, or than 16 levels"),
        ("\n".join(" " * i + "A:" for i in range(2000)), "line 16: .* 16 levels"),
        ("- x\n" * 110_000, "more than 100000 values"),
        ("SEED: " + "1" * 5000, "line 1: a number of 5000 characters"),
        ("SEED: 1" + ":0" * 400_000, "line 1: a number of"),
        ("SEED: 1" + ":0" * 400 + ".0", "too large to convert to float"),
        ("SEED: 0x" + "f" * 900, "SEED is"),
        ("A: !!python/object/apply:os.system [ls]", "line 1: python/object/apply:os.system is no type"),
        ("A: !!int x", "line 1: int is no type"),
        ("A: !!int ''", "line 1: int is no type"),
        ("A: !!timestamp x", "line 1: timestamp is no type"),
        ("A: 2001-99-99", "line 1: timestamp is no type of values here; put text in quotes"),
        ("A: !!binary aaaa", "line 1: binary is no type"),
        ("A: !!set {a, b}", "line 1: set is no type"),
        ("A: !mine {a: b}", "line 1: !mine is no type"),
        ("A: *nothing", "line 1: found undefined alias"),
        ("[a]: 1", "line 1: found unhashable key"),
        ("1: 2", "it has the key 1, expected text"),
        ("A: 1\n---\nA: 2", "line 2: but found another document"),
        ("A: \x07", "special characters are not allowed"),
        ("A: 1\nA: 2", "line 1: .* the key 'A' stands twice"),
        ("OUTPUT_DIR: " + "-" * 10**5 + "1", "OUTPUT_DIR: it is nested too deeply"),
        ("_BASE_: run.yaml", "based on itself"),
        ("_BASE_: ../{folder}/run.yaml", "based on itself"),
        ("_BASE_: ring.yaml", "based on itself"),
        ("_BASE_: [other.yaml, run.yaml]", "based on itself"),
        ("_BASE_: 5", "_BASE_ is 5; expected the name of a file"),
        ("_BASE_:", "_BASE_ is None; expected the name"),
        ("_BASE_: {a: b}", "expected the name of a file"),
        ("_BASE_: [1]", "expected the name of a file"),
        ("_BASE_: [[other.yaml]]", "expected the name of a file"),
        ("_BASE_: https://example.com/a.yaml", "there is no file .*https:/example"),
        ("_BASE_: file:///etc/passwd", "there is no file"),
        ("_BASE_: detectron2://a.yaml", "there is no file"),
        ("_BASE_: pipe", "there is no file"),
        ("_BASE_: .", "there is no file"),
        ("_BASE_: /dev/zero", "there is no file /dev/zero"),
        ("_BASE_: many0.yaml", "more than 32 files"),
        ("_BASE_: large.yaml\nA: " + "x" * 2_500_000, "or 4000000 characters"),
        ("_BASE_: other.yaml\nSEED: {A: 1}", "SEED has keys below it, but in a file that it is based on a value"),
        ('_BASE_: "a\\0b"', "there is no file|null"),
    ],
    ids=short,
)
def test_a_file_ends_in_a_line(tmp_path, content, message):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "ring.yaml").write_text("_BASE_: run.yaml\n")
    (tmp_path / "other.yaml").write_text("SEED: 5\n")
    (tmp_path / "large.yaml").write_text(f"A: {'x' * 2_000_000}\n")
    for i in range(9):
        (tmp_path / f"many{i}.yaml").write_text(f"_BASE_: [{', '.join([f'many{i + 1}.yaml'] * 10)}]\n")
    (tmp_path / "many9.yaml").write_text("SEED: 1\n")
    (tmp_path / "run.yaml").write_text(content.replace("{folder}", tmp_path.name))
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        load_config(tmp_path / "run.yaml")
    line = str(caught.value)
    assert "\n" not in line and len(line) < 2000 and str(tmp_path) in line


def test_a_file_without_end_or_of_bytes(tmp_path):
    (tmp_path / "large.yaml").touch()
    os.truncate(tmp_path / "large.yaml", 10**9)
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    os.mkfifo(tmp_path / "pipe.yaml")
    for name in ("large", "binary", "pipe"):
        with pytest.raises((ValueError, OSError), match=f"{name}\\.yaml"):
            load_config(tmp_path / f"{name}.yaml")


def test_aliases_and_merge_keys_that_mean_no_harm(tmp_path):
    (tmp_path / "base.yaml").write_text("SEED: 1\nSOLVER:\n  MAX_ITER: 5\n  BASE_LR: 1\n")
    (tmp_path / "second.yaml").write_text("SEED: 2\n")
    (tmp_path / "run.yaml").write_text(
        "_BASE_: [base.yaml, second.yaml]\nSOLVER: &a\n  MAX_ITER: 7\nX: {<<: *a, MAX_ITER: 8}\nY: *a\n"
    )
    assert read_yaml(tmp_path / "run.yaml") == {
        **{"SEED": 2, "SOLVER": {"MAX_ITER": 7, "BASE_LR": 1}},
        **{"X": {"MAX_ITER": 8}, "Y": {"MAX_ITER": 7}},
    }


def test_a_task_is_text(tmp_path):
    (tmp_path / "run.yaml").write_text("TASK: [detection]\n")
    with pytest.raises(ValueError, match=r"TASK is \['detection'\]; expected one of"):
        task_of(tmp_path / "run.yaml")


@pytest.mark.parametrize("values", [{"A": (b"x",)}, {"_BASE_": "a.yaml"}, {"SEED": {"A": 1}}])
def test_a_checkpoints_config_ends_in_a_line(values):
    with pytest.raises(ValueError, match=r"^model\.pth: "):
        config_from(values, (), source="model.pth")


@pytest.mark.parametrize(
    "value",
    [
        *(
            "((((" * 2000,
            "-" * 10**5 + "1",
            "1+" * 10**5 + "1",
            "[" * 50 + "]" * 50,
            "{[]: 1}",
            "9**9**9",
            "1e400",
            "nan",
        ),
        *(
            "nan",
            "1" * 10**5,
            "0x" + "f" * 10**5,
            "...",
            "b'a'",
            "{1, 2}",
            "1j",
            "\0",
            "",
            "None",
            "lambda: 1",
            "f'{1}'",
        ),
        *(10**5000, {"A": 1}, [[]], object(), b"1", {1}),
    ],
    ids=short,
)
@pytest.mark.parametrize("key", ["SEED", "SOLVER.BASE_LR", "INPUT.MIN_SIZE_TRAIN", "MODEL.HIERA.STAGES", "SOLVER"])
def test_an_override_ends_in_a_line(key, value):
    if (key, value) == ("MODEL.HIERA.STAGES", "None"):
        return  # its default
    with pytest.raises(ValueError, match=rf"^override on the command line: .*{key}") as caught:
        config_from({}, [key, value], source="run.yaml")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "key", ["", ".", "SEED.", ".SEED", "SEED.A", "OUTPUT_DIR.", "__class__", "_BASE_", "A" * 10**6, 5, None]
)
def test_a_key_that_there_is_not_ends_in_a_line(key):
    with pytest.raises(ValueError, match=r"^override on the command line: ") as caught:
        config_from({}, [key, "1"], source="run.yaml")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 2000


def test_what_is_read_can_be_written_again(tmp_path):
    """Of hostile values that are taken none breaks a run's config.yaml."""
    cfg = config_from({"OUTPUT_DIR": "a: b\n- !!x &y *z {}[]#"}, (), source="run.yaml")
    (tmp_path / "run.yaml").write_text(cfg.dump())
    assert load_config(tmp_path / "run.yaml").dump() == cfg.dump()
