"""What numbers keys may have: every key of every task is in the table, and is held to it wherever it is from."""

from __future__ import annotations

import math
import re

import pytest

from hiera_det.config import config_from, load_config, shipped_configs, value_of
from hiera_det.config.default_ranges import RANGES
from hiera_det.config.ranges import Range, check_ranges, number, ranges_of, texts, whole
from hiera_det.features.config import OWN_RANGES as OF_FEATURES
from hiera_det.features.config import defaults as features_defaults
from hiera_det.pretraining.config import OWN_RANGES as OF_PRETRAINING
from hiera_det.projects.ava.config import OWN_RANGES as OF_ACTIONS
from hiera_det.tasks import defaults_of, task_of
from hiera_det.utils.nested import MOST

DEFAULTS = {
    **{task: defaults_of(task) for task in ("detection", "actions", "pretraining")},
    "features": features_defaults(),
}
OWN = {"detection": RANGES, "actions": OF_ACTIONS, "pretraining": OF_PRETRAINING, "features": OF_FEATURES}
KEYS = [(task, key) for task, cfg in DEFAULTS.items() for key in ranges_of(cfg)]


def walk(node, prefix=""):
    for key, value in node.items():
        yield from walk(value, f"{prefix}{key}.") if hasattr(value, "items") else [(prefix + key, value)]


def nested(key, value):
    """The nodes that a key and its value make."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


def merged(*nodes):
    result = {}
    for node in nodes:
        for key, value in node.items():
            result[key] = merged(result[key], value) if isinstance(result.get(key), dict) else value
    return result


@pytest.mark.parametrize("task", DEFAULTS)
def test_every_key_of_numbers_or_lists_is_in_the_table(task):
    values = dict(walk(DEFAULTS[task]))
    ranges = ranges_of(DEFAULTS[task])
    many = {key for key, value in values.items() if not isinstance(value, (str, bool))}
    assert many <= ranges.keys() <= values.keys()
    assert OWN[task].keys() <= values.keys(), "a range without its key"
    for key, value in values.items():
        if key in ranges:
            assert value in ranges[key], key
            assert ranges[key].integers or type(value) is not int, key


def test_detectron2s_configs_are_held_to_the_same_table():
    trainer = pytest.importorskip("hiera_det.detectron2.trainer", exc_type=ImportError)
    defaults = trainer.defaults()
    assert ranges_of(defaults) == RANGES
    check_ranges(defaults, str)
    with pytest.raises(ValueError, match=r"SOLVER\.CHECKPOINT_PERIOD is 0"):
        config_from({}, ["SOLVER.CHECKPOINT_PERIOD", "0"], defaults, source="run.yaml")


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configs_are_within(name):
    path = shipped_configs()[name]
    defaults = features_defaults() if name.startswith("features") else defaults_of(task_of(path))
    check_ranges(load_config(path, (), defaults), str)


def beyond(its: Range):
    """Numbers just outside of each end, and others that are none."""
    if its.low is None:
        return [5, 0.5]
    low, high = (its.low - 1, its.high + 1) if its.integers else outward(its.low, its.high)
    low, high = (its.low if its.above else low), (its.high if its.below else high)
    ends = [low] if its.high == math.inf else [low, high, math.inf, 10**39]
    return [*ends, math.nan, -math.inf, True, "text"]


def outward(low, high):
    return math.nextafter(low, -math.inf), math.nextafter(high, math.inf)


def within(its: Range):
    """The numbers of both ends."""
    if its.low is None:
        return ["text"]
    low = math.nextafter(its.low, math.inf) if its.above else its.low
    return [low, math.nextafter(its.high, -math.inf) if its.below else its.high]


def lists(one, lengths):
    for length in reversed(lengths):
        one = [one] * length
    return one


@pytest.mark.parametrize(("task", "key"), KEYS)
def test_ends_are_taken_and_what_is_beyond_them_refused(task, key):
    defaults = DEFAULTS[task]
    its = ranges_of(defaults)[key]
    lengths = [max(fewest, 1) for fewest, _ in its.lengths]
    if its.as_many_as:
        lengths[0] = len(value_of(defaults, its.as_many_as)) + its.more

    for one in within(its):
        nodes = nested(key, lists(one, lengths))
        for other, paired in ranges_of(defaults).items():  # those that have as many values
            if paired.as_many_as == key:
                inner = [fewest for fewest, _ in paired.lengths[1:]]
                nodes = merged(nodes, nested(other, lists(within(paired)[0], [lengths[0] + paired.more, *inner])))
        assert value_of(config_from(nodes, (), defaults, source="run.yaml"), key) is not None

    refused = [lists(one, lengths) for one in beyond(its)]
    if its.lengths:
        fewest, most = its.lengths[0]
        others = [length for length in (fewest - 1, most + 1) if 0 <= length <= MOST]  # more are no plain values
        refused += [lists(within(its)[0], [length, *lengths[1:]]) for length in others]
    for value in [*refused, *([] if its.optional else [None])]:
        with pytest.raises(ValueError, match=rf"^run\.yaml: .*{re.escape(key)}") as caught:
            config_from(nested(key, value), (), defaults, source="run.yaml")
        assert "\n" not in str(caught.value)


def test_the_message_has_source_key_value_and_range(tmp_path):
    (tmp_path / "run.yaml").write_text("SOLVER:\n  CHECKPOINT_PERIOD: 0\n")
    expected = "SOLVER.CHECKPOINT_PERIOD is {}; expected a whole number from 1 to 1000000000000"
    with pytest.raises(ValueError) as caught:
        load_config(tmp_path / "run.yaml")
    assert str(caught.value) == f"{tmp_path / 'run.yaml'}: {expected.format(0)}"
    with pytest.raises(ValueError) as caught:
        load_config(tmp_path / "run.yaml", ["SOLVER.CHECKPOINT_PERIOD", "-1"])
    assert str(caught.value) == f"override on the command line: {expected.format(-1)}"
    assert load_config(tmp_path / "run.yaml", ["SOLVER.CHECKPOINT_PERIOD", "1"]).SOLVER.CHECKPOINT_PERIOD == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TEST.EVAL_PERIOD", "-1"),
        ("SEED", str(2**70)),
        ("INPUT.MIN_SIZE_TRAIN", "(0,)"),
        ("INPUT.MIN_SIZE_TRAIN", "()"),
        ("INPUT.MIN_SIZE_TEST", str(10**39)),
        ("INPUT.CROP.SIZE", "[0.9]"),
        ("MODEL.HIERA.SQUARE_PAD", str(10**9)),
        ("MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION", str(10**9)),
        ("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", str(10**9)),
        ("MODEL.RPN.IOU_LABELS", "[0, 1]"),
        ("MODEL.RPN.IOU_THRESHOLDS", "[0.7, 0.3]"),
        ("MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS", "[[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]"),
        ("MODEL.PIXEL_STD", "[1.0]"),
        ("SOLVER.BASE_LR", "1e400"),
        ("SOLVER.BASE_LR", "-1"),
        ("SOLVER.BETAS", "[0.9]"),
        ("LOGGERS", "[1]"),
        ("DATASETS.TRAIN", "[['a']]"),
    ],
)
def test_examples_that_ended_in_more_than_a_line(key, value):
    with pytest.raises(ValueError, match=r"^override on the command line: "):
        config_from({}, [key, value], source="run.yaml")


@pytest.mark.parametrize(
    ("its", "text"),
    [
        (whole(1, 9), "a whole number from 1 to 9"),
        (number(0.0, 1.0, below=True), "a number from 0 and below 1"),
        (number(0.0, 1.0, (2, 2), above=True), "a list of 2 numbers above 0 and up to 1"),
        (number(0.0, 1.0, (2, 2), ascending=True), "a list of 2 numbers from 0 to 1 in ascending order"),
        (whole(0, 5, (1, 3), (4, 4), optional=True), "a list of 1 to 3 lists of 4 whole numbers from 0 to 5, or None"),
        (texts(), "a list of 0 to 100000 texts"),
        (Range(), "a text"),
    ],
)
def test_what_is_expected_in_words(its, text):
    assert str(its) == text


def test_one_list_may_stand_for_lists():
    its = number(0.0, 9.0, (1, 2), (1, 2), flat=True)
    assert [1, 2] in its and [[1], [2, 3]] in its
    assert [[1], 2] not in its and [] not in its and [[[1]]] not in its
