"""The command `hiera-det`: each subcommand is a module of its own, imported when it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import hiera_det
from hiera_det.cli.errors import user_errors
from hiera_det.cli.parser import CommandParser

__all__ = ["COMMANDS", "main"]

# Heading: subcommand, its module, what it does.
COMMANDS: dict[str, list[tuple[str, str, str]]] = {
    "Models": [
        ("quickstart", "hiera_det.cli.quickstart", "train and predict on a generated dataset, in minutes"),
        ("train", "hiera_det.cli.train", "train a detector or an action detector"),
        ("evaluate", "hiera_det.cli.evaluate", "evaluate a trained one"),
        ("pretrain", "hiera_det.cli.pretrain", "pretrain a Hiera on images or videos without labels"),
        ("predict", "hiera_det.cli.predict", "detect on images or a video, or tell what persons do"),
        ("classify", "hiera_det.cli.classify", "classify photos or clips"),
    ],
    "Files": [
        ("info", "hiera_det.cli.info", "show what a file of weights is"),
        ("check", "hiera_det.cli.check", "examine datasets before a run"),
        ("convert-data", "hiera_det.cli.convert_data", "write a dataset as COCO, YOLO or Pascal VOC"),
        ("configs", "hiera_det.cli.configs", "list or copy the shipped configs"),
        ("convert", "hiera_det.cli.convert", "write a Hiera in the format of another package"),
        ("analyze", "hiera_det.cli.analyze", "count a detector's parameters and multiply-adds"),
        ("make-shapes", "hiera_det.cli.make_shapes", "generate a detection dataset"),
    ],
    "Frozen features": [
        ("extract", "hiera_det.cli.extract", "write the features of images or clips to a store"),
        ("probe", "hiera_det.cli.probe", "tell classes apart by the features of a store"),
        ("search", "hiera_det.cli.search", "find similar items of a store"),
    ],
    "Actions (AVA)": [
        ("ava-evaluate", "hiera_det.projects.ava.cli.evaluate", "compute the AVA mAP of a results file"),
        ("ava-check", "hiera_det.projects.ava.cli.check_data", "check a data folder in AVA's layout"),
        ("ava-make-miniset", "hiera_det.projects.ava.cli.make_miniset", "generate a dataset of acting figures"),
    ],
}


def _usage() -> str:
    width = max(len(name) for commands in COMMANDS.values() for name, _, _ in commands)
    lines = ["usage: hiera-det COMMAND ...", "", "Hiera for detection, segmentation and actions."]
    for heading, commands in COMMANDS.items():
        lines += ["", f"{heading}:", *(f"  {name:{width}}  {summary}" for name, _, summary in commands)]
    return "\n".join([*lines, "", "`hiera-det COMMAND --help` shows a command's options; --version the version."])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand.

    Raises:
        SystemExit: with 2 where the input is at fault, see :func:`~hiera_det.cli.errors.user_errors`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    modules = {name: module for commands in COMMANDS.values() for name, module, _ in commands}
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        raise SystemExit(0 if words else 2)
    if words[0] == "--version":
        print(f"hiera-det {hiera_det.__version__}")
        return
    name, *rest = words
    with user_errors():
        if name not in modules:
            raise ValueError(f"no command {name!r}; expected one of {', '.join(modules)}")
        try:
            command = import_module(modules[name])
        except ModuleNotFoundError as error:
            raise ValueError(_missing(name, error)) from error
        CommandParser.program = f"hiera-det {name}"  # sys.argv stays: Lightning starts further processes by it
        command.main(rest)


def _missing(name: str, error: ModuleNotFoundError) -> str:
    if error.name is None or error.name.startswith("hiera_det"):
        raise error
    extra = "ava" if name.startswith("ava") else "features"
    return f"{name} needs {error.name}: pip install 'hiera_det[{extra}]'"
