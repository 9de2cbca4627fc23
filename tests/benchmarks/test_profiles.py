from __future__ import annotations

from functools import partial
from itertools import count

import torch
from torch import nn

from benchmarks import parts
from benchmarks.contender import Contender, Job
from benchmarks.parts import module_seconds
from benchmarks.profiles import format_profile, profile_contender


def test_profile_in_a_process_of_its_own(tmp_path):
    contender = Contender("a", "torch", "f", partial(Job, partial(torch.mm, torch.ones(64, 64), torch.ones(64, 64))))
    text = profile_contender(contender, "size 64, batch 1", "cpu", 1, tmp_path / "new")
    assert "aten::mm " in text and "copies: 0" in text
    (trace,) = (tmp_path / "new").iterdir()
    assert text.endswith(str(trace)) and trace.name == "a_size_64_batch_1.json"
    assert "aten::mm" in trace.read_text()


def test_table_of_operators():
    events = [("aten::copy_", 4, 250.0), ("aten::mm", 2, 750.0), *((f"aten::x{i}", 1, 0.0) for i in range(30))]
    lines = format_profile("ours", events).splitlines()
    assert lines[1].split() == ["aten::mm", "75.0", "%", "0.75", "2"]
    assert lines[2].split() == ["aten::copy_", "25.0", "%", "0.25", "4"]
    assert len(lines) == 1 + 15 + 1
    assert lines[-1].strip() == "copies: 4"


def test_seconds_of_modules():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    seconds = module_seconds({"outer": model, "inner": model[1]}, lambda: model(torch.ones(1, 2)), times=2)
    assert 0 < seconds["inner"] < seconds["outer"] < seconds["total"]
    assert not model._forward_hooks and not model._forward_pre_hooks


def test_seconds_are_means_over_the_steps(monkeypatch):
    monkeypatch.setattr(parts, "_now", partial(next, count()))  # a second from one look at the clock to the next
    model = nn.Linear(2, 2)
    assert module_seconds({"m": model}, lambda: model(torch.ones(1, 2)), times=2) == {"m": 1.0, "total": 2.5}
