"""The command `hiera-det`: every subcommand, its help, its errors."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import torch
from tqdm import tqdm

import hiera_det
from hiera_det.cli import errors
from hiera_det.cli.main import COMMANDS, main
from hiera_det.cli.parser import CommandParser
from hiera_det.config import get_cfg

EVERY = {name: module for commands in COMMANDS.values() for name, module, _ in commands}


def test_the_issue_of_commands():
    assert {"train", "evaluate", "predict", "classify", "extract", "probe", "search", "convert", "analyze"} < set(EVERY)
    assert {"info", "configs", "quickstart", "ava-evaluate"} < set(EVERY)


@pytest.fixture(autouse=True)
def _program(monkeypatch):
    monkeypatch.setattr(CommandParser, "program", None)


@pytest.mark.parametrize("name", EVERY)
def test_help(name, capsys):
    before = list(sys.argv)
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert sys.argv == before  # by which Lightning starts the processes of further GPUs
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: hiera-det {name} ")
    first = import_module(EVERY[name]).__doc__.splitlines()[0]
    assert first in printed and re.match(r"[A-Z][a-z]+ ", first)
    assert f"hiera-det {name} " in printed.split("options:")[0].split(first)[1]  # an example
    helps = re.findall(r"(?m)^  (?:-|\w).*?(?:  +|\n +)(\S.*)$", printed.split("options:", 1)[1])
    assert helps and not any(text.startswith(("of ", "in place", "and ")) for text in helps), helps


def test_the_list(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in EVERY)
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    main(["--version"])
    assert capsys.readouterr().out.endswith(f"hiera-det {hiera_det.__version__}\n")


def test_errors_are_one_line(capsys):
    for words, message in (
        (["trane"], "error: no command 'trane'; expected one of quickstart, train, "),
        (["info", "nowhere.pth"], "error: no weights file at nowhere.pth"),
        (["train", "--config", "nowhere"], "error: no config file at nowhere"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(message)


def test_what_is_not_installed_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for name in [name for name in sys.modules if name.startswith(("hiera_det.features.analysis", "hiera_det.cli.pro"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    for name in [name for name in sys.modules if name.startswith("hiera_det.features.store")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit) as stop:
        main(["probe", "--help"])
    assert stop.value.code == 2
    assert re.search(r"error: probe needs \w+: pip install 'hiera_det\[features\]'", capsys.readouterr().err)


def test_as_a_module(tmp_path):
    command = [sys.executable, "-m", "hiera_det", "configs"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "\nmask_rcnn_hiera_b " in done.stdout


def test_a_gpu_that_is_too_small_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop, errors.user_errors():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    places = [line.index(word) for word in ("ACTIVATION_CHECKPOINTING", "--accumulate", "--precision", "IMS_PER_BATCH")]
    assert places == sorted(places) and line.index("smaller images") > places[-1]
    with pytest.raises(RuntimeError, match="another"), errors.user_errors():
        raise RuntimeError("another")


def test_an_error_stands_below_the_bar(capsys):
    with pytest.raises(SystemExit), errors.user_errors():
        for number in tqdm(range(5)):
            if number == 2:
                raise ValueError("the third is wrong")
    assert capsys.readouterr().err.endswith("]\nerror: the third is wrong\n")


def test_ctrl_c_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop, errors.user_errors():
        raise KeyboardInterrupt
    assert stop.value.code == 130 and capsys.readouterr().err == "stopped by Ctrl-C\n"


@pytest.mark.parametrize("allocate", [lambda: np.empty(10**17), lambda: torch.empty(10**17)], ids=["numpy", "torch"])
def test_the_memory_of_the_machine_is_one_line(capsys, allocate):
    with pytest.raises(SystemExit) as stop, errors.user_errors():
        allocate()
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the machine's memory does not suffice (")


def test_control_characters_of_a_name_do_nothing(capsys):
    with pytest.raises(SystemExit), errors.user_errors():
        raise ValueError("a.json, \x1b[2J: two problems\n  and\udcff")
    assert capsys.readouterr().err == "error: a.json, \\x1b[2J: two problems\n  and\\udcff\n"


def test_keys_behind_any_option_of_several_words():
    parser = CommandParser("Test.")
    parser.add_list(parser, "--files")
    parser.add_list(parser, "--others")
    parser.add_overrides()
    for words in (
        ["--files", "a", "b", "SEED", "1", "--others", "c"],
        ["--others", "c", "--files", "a", "b", "SEED", "1"],
    ):
        args = parser.parse_with_keys(words, lambda _: get_cfg())
        assert (args.files, args.others, args.overrides) == (["a", "b"], ["c"], ["SEED", "1"])
    words = ["--files", "a.json", "MODEL.RESNETS.DEPTH", "50", "--others", "IMG.JPG", "TEST.AUG.ENABLED", "False"]
    args = parser.parse_with_keys(words, lambda _: get_cfg())  # keys of detectron2 alone
    assert args.files == ["a.json"] and args.overrides == words[2:4] + words[6:] and args.others == ["IMG.JPG"]
    assert parser.parse_with_keys(["SEED", "1"], lambda _: pytest.fail("needless")).files == []
