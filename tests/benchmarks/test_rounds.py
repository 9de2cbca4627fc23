"""Candidates in their own processes: runs, memory, differences, failures."""

from __future__ import annotations

import importlib
import multiprocessing as mp
import os
import threading
import time
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from benchmarks import rounds as rounds_module
from benchmarks.candidate import OURS, Candidate, Job, check_names
from benchmarks.cases import as_json
from benchmarks.memory import Memory
from benchmarks.process import CandidateError, _count, _serve
from benchmarks.rounds import Settings, _difference, run_case


def candidate(name, build, function="f"):
    return Candidate(name, f"package-{name}", function, build)


def giving(*values):
    return partial(Job, partial(torch.unbind, torch.tensor([values])), items=3)


def served(build, *words):
    """The answers of a candidate's process, in this one."""
    pipe, requests = Mock(), [(word,) for word in words]
    pipe.recv.side_effect = [*requests, EOFError]
    _serve(pipe, candidate("a", build), "cpu", torch.get_num_threads())
    return [call.args[0] for call in pipe.send.call_args_list]


def test_answers():
    (_, outputs), (_, first), (_, second), (_, last) = served(giving(1.0, 2.0), "run", "run", "finish")
    assert [values.tolist() for values in outputs] == [[1.0, 2.0]]
    assert first > 0 and second > 0
    assert last.keys() == {"peak_mib", "flops", "items", "details"} and last["items"] == 3


def test_what_fails_is_said():
    absent = served(partial(importlib.import_module, "no_such_package"))
    assert absent == [("error", "package-a is not installed (No module named 'no_such_package')")]
    ((kind, text),) = served(partial(int, "x"))
    assert kind == "error" and text.startswith("ValueError: invalid literal")


def test_processes():
    large = candidate("large", partial(Job, partial(torch.ones, (1, 2**26))))  # 256 MiB
    dead = candidate("dead", partial(os._exit, 3))
    found, lost = run_case([large, dead], {"threads": 1}, Settings(rounds=2)).results
    assert len(found.seconds) == 2 and found.median > 0 and not found.error
    assert 256 <= found.peak_mib < 300
    assert lost.error == "its process ended; was there enough memory?"


def with_start_method(expected):
    if mp.get_start_method() != expected:
        raise ValueError(f"{mp.get_start_method()} instead of {expected}")
    return Job(list)


def test_a_loaders_processes_start_as_they_would_by_themselves():
    loads = candidate("loads", partial(with_start_method, mp.get_start_method()))
    (found,) = run_case([loads], {"threads": 1}, Settings(rounds=1)).results
    assert not found.error


def die(steps):
    """A step that its process does not survive, after some that it does."""
    steps.append(1)
    if len(steps) > 2:
        os._exit(3)
    return []


def die_between(seconds):
    """A first step, after which the process has so long to live."""
    threading.Timer(seconds, os._exit, (3,)).start()
    return []


def sleep(seconds):
    time.sleep(seconds)
    return []


@pytest.mark.parametrize("step", [partial(die, []), partial(die_between, 0.01)], ids=["in a run", "between runs"])
def test_a_process_that_ends_later(step):
    slow = candidate("slow", partial(Job, partial(sleep, 0.3)))
    lost, found = run_case([candidate("lost", partial(Job, step)), slow], {"threads": 1}, Settings(rounds=2)).results
    assert lost.error == "its process ended; was there enough memory?"
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
    assert _difference([first], references, "f") is None
    assert _difference([other], references, "f") == 0.25 / 4
    assert _difference([short], references, "another") is None
    with pytest.raises(CandidateError, match="outputs have other sizes"):
        _difference([short], references, "f")
    for wrong in (3.0, np.nan):
        with pytest.raises(CandidateError, match="its outputs differ by"):
            _difference([np.array([1.0, wrong, -4.0])], references, "f")


class Logged:
    """In place of a process: logs whose run it is."""

    log: list[str]

    def __init__(self, candidate, device, threads):
        self.name, self.outputs = candidate.name, []

    def run(self):
        if self.name == "b" and "b" in self.log:
            raise CandidateError("out of memory")
        self.log.append(self.name)
        return 1.0

    def finish(self):
        return {"flops": 5, "items": 2, "peak_mib": 1.0, "details": {}}

    def close(self):
        self.log.append(f"{self.name} closed")


def test_candidates_alternate_and_a_failure_ends_one_alone(monkeypatch):
    Logged.log = []
    monkeypatch.setattr(rounds_module, "CandidateProcess", Logged)
    made = run_case([candidate(name, giving(1)) for name in "abc"], {"threads": 1, "dtype": "fp32"}, Settings(rounds=3))
    side = made.product.candidate.name
    assert Logged.log[:10] == ["a", "b", "c", side, "a", "c", side, "a", "c", side]
    assert len(Logged.log) == 14 and all(word.endswith("closed") for word in Logged.log[10:])
    assert [result.error for result in made.results] == ["", "out of memory", ""]
    assert made.results[0].flops == 5 and made.results[0].items == 2


def test_without_a_matrix_product_the_times_stay(monkeypatch):
    class NoProduct(Logged):
        def __init__(self, candidate, device, threads):
            super().__init__(candidate, device, threads)
            if candidate.function == "matrix product":
                raise CandidateError("out of memory")

    Logged.log = []
    monkeypatch.setattr(rounds_module, "CandidateProcess", NoProduct)
    made = run_case([candidate("a", giving(1))], {"threads": 1, "dtype": "fp32"}, Settings(rounds=2))
    assert made.product is None and made.mfu(made.results[0]) is None
    (record,) = as_json([made])
    assert record["median_seconds"] == 1.0 and record["mfu"] is None


def test_ours_alone_is_profiled(monkeypatch, tmp_path):
    class Profiled(Logged):
        def profile(self, path):
            if self.name == "lost":
                raise CandidateError("out of memory")
            return f"trace: {path.name}"

    Logged.log = []
    monkeypatch.setattr(rounds_module, "CandidateProcess", Profiled)
    candidates = [Candidate(name, OURS, "f", Job) for name in ("a", "lost")] + [candidate("other", Job)]
    made = run_case(candidates, {"threads": 1, "size": 64}, Settings(rounds=1, profile=tmp_path / "new"))
    kept = "a, threads 1, size 64:\ntrace: a_threads_1_size_64.json"
    assert made.profiles == [kept, "lost, threads 1, size 64: not profiled, out of memory"]
    assert [result.error for result in made.results] == ["", "", ""] and (tmp_path / "new").is_dir()


def test_rounds_and_names():
    with pytest.raises(ValueError, match="--rounds 0: expected at least 1"):
        Settings(rounds=0)
    with pytest.raises(ValueError, match="--vs swin: expected some of a, b"):
        check_names("--vs", ["a", "swin"], ["a", "b"])
