from __future__ import annotations

from functools import partial
from itertools import count

import torch
from torch import nn

from benchmarks import profiles
from benchmarks.profiles import module_seconds, profile_step


def test_operators_copies_and_trace(tmp_path):
    a = torch.ones(64, 64)
    text = profile_step(lambda: torch.mm(a, a).t().contiguous(), "cpu", tmp_path / "trace.json")
    assert "aten::mm " in text and "Self CPU" in text and "copies: 1\n" in text
    assert text.endswith(str(tmp_path / "trace.json"))
    assert "aten::mm" in (tmp_path / "trace.json").read_text()


def test_seconds_of_modules():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    seconds = module_seconds({"outer": model, "inner": model[1]}, lambda: model(torch.ones(1, 2)), 2, "cpu")
    assert 0 < seconds["inner"] < seconds["outer"] < seconds["total"]
    assert not model._forward_hooks and not model._forward_pre_hooks


def test_seconds_are_means_over_the_steps(monkeypatch):
    monkeypatch.setattr(profiles.time, "perf_counter", partial(next, count()))  # a second from one look to the next
    model = nn.Linear(2, 2)
    assert module_seconds({"m": model}, lambda: model(torch.ones(1, 2)), 2, "cpu") == {"m": 1.0, "total": 2.5}
