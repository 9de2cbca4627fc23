"""Contenders in processes of their own: turns, memory, differences, failures."""

from __future__ import annotations

import importlib
import os
from functools import partial

import pytest
import torch

from hiera_det.benchmark import rounds as rounds_module
from hiera_det.benchmark.contender import Contender, Job, check_names
from hiera_det.benchmark.process import DidNotRun
from hiera_det.benchmark.rounds import run_case


def contender(name, build, function="f"):
    return Contender(name, f"package-{name}", function, build)


def giving(*values):
    return partial(Job, partial(torch.unbind, torch.tensor([values])), items=3)


CONTENDERS = [
    contender("first", giving(1.0, 2.0, 4.0)),
    contender("other", giving(1.0, 2.5, 4.0)),
    contender("short", giving(1.0, 2.0)),
    contender("absent", partial(importlib.import_module, "no_such_package")),
    contender("broken", partial(int, "x")),
    contender("dead", partial(os._exit, 3)),
    contender("large", partial(Job, partial(torch.ones, (1, 2**26))), "g"),  # 256 MiB
]


@pytest.fixture(scope="module")
def case():
    made = run_case(CONTENDERS, {"size": 1}, device="cpu", threads=1, rounds=2)
    return {result.contender.name: result for result in made.results}


def test_turns(case):
    assert [name for name, result in case.items() if not result.error] == ["first", "other", "large"]
    assert all(len(result.seconds) == 2 and min(result.seconds) > 0 for result in case.values() if not result.error)
    assert case["first"].items == 3


def test_difference_from_the_first_of_the_function(case):
    assert case["first"].difference is None and case["large"].difference is None
    assert case["other"].difference == pytest.approx(0.5 / 4)
    assert "outputs are not of the sizes" in case["short"].error


def test_failures_are_named(case):
    assert case["absent"].error == "package-absent is not installed (No module named 'no_such_package')"
    assert case["broken"].error.startswith("ValueError: invalid literal")
    assert case["dead"].error == "its process ended; was there memory enough?"


def test_memory_is_each_ones_own(case):
    assert 256 <= case["large"].peak_mib < 300
    assert case["first"].peak_mib < 20


class Logged:
    """In place of a process: writes down who has its turn."""

    log: list[str]

    def __init__(self, contender, device, threads):
        self.name, self.outputs = contender.name, []

    def turn(self):
        if self.name == "b" and "b" in self.log:
            raise DidNotRun("out of memory")
        self.log.append(self.name)
        return 1.0

    def finish(self):
        return {"flops": 5, "items": 2, "peak_mib": 1.0, "notes": {}}

    def close(self):
        self.log.append(f"{self.name} closed")


def test_contenders_take_turns_and_a_failure_ends_one_alone(monkeypatch):
    Logged.log = []
    monkeypatch.setattr(rounds_module, "ContenderProcess", Logged)
    made = run_case(
        [contender(name, giving(1)) for name in "abc"], {}, device="cpu", threads=1, rounds=3, product_dtype="fp32"
    )
    side = made.product.contender.name
    assert Logged.log[:10] == ["a", "b", "c", side, "a", "c", side, "a", "c", side]
    assert len(Logged.log) == 14 and all(word.endswith("closed") for word in Logged.log[10:])
    assert [result.error for result in made.results] == ["", "out of memory", ""]
    assert made.results[0].flops == 5 and made.results[0].items == 2


def test_rounds_and_names():
    with pytest.raises(ValueError, match="--rounds 0: at least 1"):
        run_case([], {}, device="cpu", threads=1, rounds=0)
    with pytest.raises(ValueError, match="--vs swin: no such contender here; there are a, b"):
        check_names("--vs", ["a", "swin"], ["a", "b"])
