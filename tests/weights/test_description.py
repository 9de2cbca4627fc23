"""What a file says of a trained model is checked before anything is done with it."""

from __future__ import annotations

import pytest
import torch

import hiera_det
from hiera_det.weights.description import Description

BOMB: list = [0] * 30
for _ in range(5):
    BOMB = [BOMB] * 30
GOOD = {
    "task": "detection",
    "config": {"SEED": 3, "MODEL": {"WEIGHTS": "", "PIXEL_MEAN": [1.0, 2.0]}, "DATASETS": {"TRAIN": ("a",)}},
    "class_names": ["cat", "Überhund 狗"],
    "category_ids": [3, 90],
    "licence": "CC-BY-NC-4.0",
    "iteration": 5,
    "hiera_det_version": "0.1.0",
}
DEEP: dict = {}
for _ in range(5000):
    DEEP = {"A": DEEP}


def test_there_and_back():
    description = Description.from_plain({**GOOD, "optimizer_states": [1]}, "x.pth")
    assert description.to_plain() == GOOD
    assert Description.now(task="actions").version == hiera_det.__version__


def test_files_of_0_1_0():
    detection = Description.from_plain({"class_names": ["a", "b"], "category_ids": [7, 9], "iteration": 5}, "x")
    assert (detection.class_names, detection.category_ids, detection.config) == (["a", "b"], [7, 9], None)
    actions = Description.from_plain({"class_names": ["a", "b"], "class_ids": [7, 9]}, "x")
    assert actions.category_ids == [7, 9]
    assert Description.from_plain({"class_names": ["a", "b"]}, "x").category_ids == [1, 2]
    assert Description.from_plain({}, "x") == Description()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("class_names", None, "the class names are a NoneType, expected a list of text"),
        ("class_names", torch.zeros(2), "the class names are a Tensor"),
        ("class_names", "ab", "the class names are a str"),
        ("class_names", [], "0 class names, expected 1 to 10000"),
        ("class_names", ["a"] * 10_001, "10001 class names"),
        ("class_names", [1, 2], "class name 0 is a int, expected text"),
        ("class_names", ["a", None], "class name 1 is a NoneType"),
        ("class_names", ["a", "b" * 201], r"class name 1 has 201 characters \('b+'…\), expected at most 200"),
        ("class_names", ["a", "b" * 1_000_000], "class name 1 has 1000000 characters"),
        ("class_names", ["a", "\ud800"], r"class name 1 is '\\ud800', which is no valid text"),
        ("class_names", ["a"], "2 category ids, 2 of them different, for 1 class names"),
        ("category_ids", [3], "1 category ids"),
        ("category_ids", [3, 3], "2 category ids, 1 of them different"),
        ("category_ids", [3, "4"], "category id 1 is a str"),
        ("category_ids", [True, 4], "category id 0 is a bool"),
        ("category_ids", [3, 2**63], "category id 1 is a int, expected integers of 64 bits"),
        ("category_ids", torch.tensor([3, 4]), "the category ids are a Tensor"),
        ("config", [1], "the config is a list, expected nodes"),
        ("config", {1: 2}, "the config: it has the key 1, expected text"),
        ("config", {"A": torch.zeros(2)}, "the config: it has a Tensor, expected"),
        ("config", {"A": {"B": [{"C"}]}}, "the config: it has a set, expected"),
        ("config", {"A": BOMB}, "the config: it holds more than 100000 values"),
        ("config", DEEP, "the config: it is nested in more than 16 levels"),
        ("task", 3, "the entry 'task' is a int, expected str"),
        ("task", "x" * 2000, "the entry 'task' has 2000 characters"),
        ("licence", "\ud800", "the entry 'licence' is .*no valid text"),
        ("iteration", 1.5, "the entry 'iteration' is a float, expected int"),
        ("iteration", 10**400, r"the entry 'iteration' is 10+\.\.\.0+, expected a number of 63 bits"),
        ("iteration", -1, "the entry 'iteration' is -1, expected a number"),
        ("iteration", True, "the entry 'iteration' is a bool"),
    ],
)
def test_refused_in_one_line(name, value, message):
    with pytest.raises(ValueError, match=rf"^x\.pth: {message}") as error:
        Description.from_plain({**GOOD, name: value}, "x.pth")
    assert len(str(error.value)) < 300 and "\n" not in str(error.value)
    str(error.value).encode()
