"""Examine datasets as the start of a run does: files, sizes, annotations, boxes, classes.

    hiera-det check my_data
    hiera-det check --dataset-json train.json val.json --image-root images/train images/val
    hiera-det check --dataset-json train.json --image-root images MODEL.MASK_ON False
    hiera-det check --config mask_rcnn_hiera_b
    hiera-det check --config ava/quickstart

For actions, the tables that the config names are read, and a clip at both ends of each annotated video. It lists all
that it finds, and ends with 1 where there is a problem.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hiera_det.cli.parser import CommandParser, is_key
from hiera_det.cli.run_options import add_data_options, check_data_options, given_datasets
from hiera_det.config import find_config, get_cfg
from hiera_det.data.findings import Findings
from hiera_det.engine.task import Task
from hiera_det.tasks import build_task, defaults_of, load_run_config, read_data, task_of
from hiera_det.utils.escape import printable
from hiera_det.utils.logs import show_log

__all__ = ["main", "parse"]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(__doc__)
    add = parser.add_argument_group("run").add_argument
    add(
        "--config",
        "--config-file",
        metavar="FILE",
        default="mask_rcnn_hiera_t",
        help="the config of the run, a YAML file or a shipped one's name: what it makes of the data (%(default)s)",
    )
    parser.add_argument("path", nargs="?", metavar="PATH", help="the same as --data PATH")
    add_data_options(parser, "TRAIN [TEST]; default: those of DATASETS")
    parser.add_overrides()
    args = parser.parse_with_keys(arguments, lambda _: get_cfg())
    if args.path is not None and is_key(args.path, get_cfg()):
        args.overrides.insert(0, args.path)
    elif args.path is not None:
        args.data = args.path
    check_data_options(parser, args, most=2)
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    args = parse(arguments)
    show_log()
    path = find_config(args.config)
    with TemporaryDirectory() as folder:
        _check(path, args, Path(folder))


def _check(path: Path, args: argparse.Namespace, folder: Path) -> None:
    """Check; annotations that have to be converted are in the folder meanwhile."""
    files = given_datasets(args)
    train_files, test_files = files[0] if files else None, files[1] if len(files) == 2 else None
    defaults, overrides = defaults_of(task_of(path)), args.overrides
    data = read_data(args.data, defaults)
    if data is not None:
        print(printable(str(data), keep="\n"))
        overrides = [*overrides, "OUTPUT_DIR", str(folder)]
    cfg = load_run_config(path, overrides, defaults, train_files, test_files, data=data)
    findings = Findings()
    task = build_task(cfg)
    if cfg.TASK == "actions":  # more than the start of a run does: videos are decoded
        from hiera_det.projects.ava.data.check import check_run

        check_run(cfg, findings)
    else:
        task.examine(findings, training=True)
        if not findings.problems:
            _read(task, findings)
    findings.show()


def _read(task: Task, findings: Findings) -> None:
    """Make both datasets, as a run does next: what they refuse in the config is a problem."""
    try:
        task.train_dataset, task.test_dataset  # noqa: B018
    except (ValueError, OSError) as error:
        findings.add("problem", str(error))
