"""Contenders in processes of their own: turns, memory, differences, failures."""

from __future__ import annotations

import importlib
import multiprocessing as mp
import os
import threading
import time
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks import rounds as rounds_module
from benchmarks.cases import as_json
from benchmarks.contender import Contender, Job, check_names
from benchmarks.memory import Memory
from benchmarks.process import DidNotRun, _count, _serve
from benchmarks.rounds import _difference, run_case


def contender(name, build, function="f"):
    return Contender(name, f"package-{name}", function, build)


def giving(*values):
    return partial(Job, partial(torch.unbind, torch.tensor([values])), items=3)


def served(build, *words):
    """The answers of a contender's process, in this one."""
    ours, theirs = mp.Pipe()
    for word in words:
        ours.send(word)
    _serve(theirs, contender("a", build), "cpu", torch.get_num_threads())
    answers = []
    while ours.poll():
        answers.append(ours.recv())
    return answers


def test_answers():
    (_, outputs), (_, first), (_, second), (_, last) = served(giving(1.0, 2.0), "turn", "turn", "finish")
    assert [values.tolist() for values in outputs] == [[1.0, 2.0]]
    assert first > 0 and second > 0
    assert last.keys() == {"peak_mib", "flops", "items", "notes"} and last["items"] == 3


def test_what_fails_is_said():
    absent = served(partial(importlib.import_module, "no_such_package"))
    assert absent == [("error", "package-a is not installed (No module named 'no_such_package')")]
    ((kind, text),) = served(partial(int, "x"))
    assert kind == "error" and text.startswith("ValueError: invalid literal")


def test_processes():
    large = contender("large", partial(Job, partial(torch.ones, (1, 2**26))))  # 256 MiB
    dead = contender("dead", partial(os._exit, 3))
    found, lost = run_case([large, dead], {}, device="cpu", threads=1, rounds=2).results
    assert len(found.seconds) == 2 and found.median > 0 and not found.error
    assert 256 <= found.peak_mib < 300
    assert lost.error == "its process ended; was there memory enough?"


def with_start_method(expected):
    if mp.get_start_method() != expected:
        raise ValueError(f"{mp.get_start_method()} instead of {expected}")
    return Job(list)


def test_a_loaders_processes_start_as_they_would_by_themselves():
    loads = contender("loads", partial(with_start_method, mp.get_start_method()))
    (found,) = run_case([loads], {}, device="cpu", threads=1, rounds=1).results
    assert not found.error


def die(turns):
    """A step that its process does not survive, after some that it does."""
    turns.append(1)
    if len(turns) > 2:
        os._exit(3)
    return []


def die_between(seconds):
    """A first step, after which the process has so long to live."""
    threading.Timer(seconds, os._exit, (3,)).start()
    return []


def sleep(seconds):
    time.sleep(seconds)
    return []


@pytest.mark.parametrize("step", [partial(die, []), partial(die_between, 0.01)], ids=["in a turn", "between turns"])
def test_a_process_that_ends_later(step):
    slow = contender("slow", partial(Job, partial(sleep, 0.3)))
    lost, found = run_case([contender("lost", partial(Job, step)), slow], {}, device="cpu", threads=1, rounds=2).results
    assert lost.error == "its process ended; was there memory enough?"
    assert len(found.seconds) == 2 and not found.error


def test_memory_that_was_freed_before_does_not_count():
    torch.ones(2**26)  # 256 MiB
    memory = Memory("cpu")
    torch.ones(2**26)
    memory.restart_peak()
    torch.ones(2**24)
    assert 60 < memory.peak() < 128


def test_a_step_that_cannot_be_counted_keeps_its_times():
    def too_much():
        raise torch.OutOfMemoryError("too much")

    assert _count(Job(list, counted=too_much)) == _count(Job(list)) == 0
    assert _count(Job(list, counted=lambda: torch.mm(torch.ones(2, 3), torch.ones(3, 4)))) == 2 * 2 * 3 * 4


def test_difference_from_the_first_of_the_function():
    references = {}
    first, other, short = (np.array(values) for values in ([1.0, 2.0, -4.0], [1.0, 2.25, -4.0], [1.0]))
    assert _difference([first], references, contender("a", Job)) is None
    assert _difference([other], references, contender("b", Job)) == 0.25 / 4
    assert _difference([short], references, contender("c", Job, "another")) is None
    with pytest.raises(DidNotRun, match="outputs are not of the sizes"):
        _difference([short], references, contender("d", Job))
    for wrong in (3.0, np.nan):
        with pytest.raises(DidNotRun, match="its outputs differ by"):
            _difference([np.array([1.0, wrong, -4.0])], references, contender("e", Job))


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


def test_without_a_matrix_product_the_times_stay(monkeypatch):
    class NoProduct(Logged):
        def __init__(self, contender, device, threads):
            super().__init__(contender, device, threads)
            if contender.function == "matrix product":
                raise DidNotRun("out of memory")

    Logged.log = []
    monkeypatch.setattr(rounds_module, "ContenderProcess", NoProduct)
    made = run_case([contender("a", giving(1))], {}, device="cpu", threads=1, rounds=2, product_dtype="fp32")
    assert made.product is None and made.mfu(made.results[0]) is None
    (record,) = as_json([made])
    assert record["median_seconds"] == 1.0 and record["mfu"] is None


def test_rounds_and_names():
    with pytest.raises(ValueError, match="--rounds 0: at least 1"):
        run_case([], {}, device="cpu", threads=1, rounds=0)
    with pytest.raises(ValueError, match="--vs swin: no such contender here; there are a, b"):
        check_names("--vs", ["a", "swin"], ["a", "b"])
