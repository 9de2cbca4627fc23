"""projects/ava/evaluate.py from the command line: table, JSON, plot, errors in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from hiera_det.projects.ava.cli.evaluate import main
from hiera_det.projects.ava.evaluation import PROTOCOLS
from hiera_det.projects.ava.evaluation.evaluator import Result
from hiera_det.projects.ava.evaluation.report import format_table, write_metrics, write_plot

SCRIPT = Path(__file__).parents[3] / "projects" / "ava" / "evaluate.py"
RECORDED = Path(__file__).parent / "recorded"
RESULT = Result("official2019", 0.375, {"walk": 0.5, "run": 0.25, "jump": float("nan")}, 12, 34, {"x: y": 5})


@pytest.fixture
def arguments(tmp_path: Path) -> Callable[..., list[str]]:
    """The recorded files as arguments; keywords put other contents in their place."""

    def of(**contents: str) -> list[str]:
        flags = []
        for name in ("detections", "ground_truth"):
            path = RECORDED / f"{name}.csv"
            if name in contents:
                path = tmp_path / f"{name}.csv"
                path.write_text(contents[name])
            flags += [f"--{name.replace('_', '-')}", str(path)]
        return [*flags, "--label-map", str(RECORDED / "label_map.pbtxt")]

    return of


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_figures_of_the_originals(
    arguments: Callable, tmp_path: Path, capsys: pytest.CaptureFixture, protocol: str
) -> None:
    out = tmp_path / "new" / "map.json"
    main([*arguments(), "--exclusions", str(RECORDED / "exclusions.csv"), "--protocol", protocol, "--json", str(out)])
    expected = json.loads((RECORDED / "originals.json").read_text())[protocol]
    written = json.loads(out.read_text())
    assert written.keys() == {"protocol", "mAP", "ap"}
    assert written["protocol"] == protocol
    assert written["mAP"] == pytest.approx(expected["mAP"], abs=1e-12)
    assert written["ap"].pop("never there") is None
    assert written["ap"] == pytest.approx({name: expected["ap"][name] for name in written["ap"]}, abs=1e-12)
    printed = capsys.readouterr().out
    assert f"mAP:       {100 * expected['mAP']:.2f} % over 5 actions, protocol {protocol}" in printed
    assert f"walk         {100 * expected['ap']['walk']:6.2f}\n" in printed


def test_run_as_a_script(arguments: Callable, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), *arguments(), "--plot", str(tmp_path / "map.png")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "protocol slowfast" in done.stdout
    assert cv2.imread(str(tmp_path / "map.png")) is not None
    bad = subprocess.run([*command, "--exclusions", "nowhere.csv"], capture_output=True, text=True, cwd=tmp_path)
    assert bad.returncode == 2
    assert bad.stderr.strip().splitlines() == ["error: [Errno 2] No such file or directory: 'nowhere.csv'"]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"detections": "a,0902,0,0,1,1,1,nan\n"}, r"detections\.csv, line 1: score nan is not finite"),
        ({"detections": "a,0902,0,0,1,1.5,1,0.5\n"}, r"detections\.csv, line 1: box .* outside \[0, 1\]"),
        ({"ground_truth": "a,0902,0,0,1,1,1,1\na,0902,0\n"}, r"ground_truth\.csv, line 2: 3 columns"),
        ({"ground_truth": "a,0902,0,0,1,1,77,1\n"}, "none of the 1 rows of the ground truth counts"),
        ({"ground_truth": ""}, "none of the 0 rows of the ground truth counts"),
        ({"ground_truth": "a,902.5,0,0,1,1,1,1\n"}, "second 902.5 of video a"),
    ],
)
def test_bad_input(arguments: Callable, contents: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        main(arguments(**contents))


def test_empty_detections_give_0(
    arguments: Callable, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    main(arguments(detections=""))
    assert "mAP:       0.00 % over 5 actions, protocol slowfast" in capsys.readouterr().out
    assert "no detections to evaluate" in caplog.text


def test_detections_of_videos_that_the_ground_truth_lacks(
    arguments: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    main(arguments(detections="a.mp4,0902,0,0,1,1,1,0.5\n"))
    assert "the ground truth lacks 1 of 1 videos of the detections" in caplog.text
    assert "a.mp4" in caplog.text


def test_unknown_protocol(arguments: Callable, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main([*arguments(), "--protocol", "latest"])
    assert "invalid choice: 'latest'" in capsys.readouterr().err


def test_table() -> None:
    assert format_table(RESULT).splitlines() == [
        "action  AP (%)",
        "walk     50.00",
        "run      25.00",
        "jump         -",
        "",
        "keyframes: 12 with ground truth, 34 with detections",
        "ignored:   5 rows of x: y",
        "mAP:       37.50 % over 2 actions, protocol official2019",
    ]


def test_json(tmp_path: Path) -> None:
    write_metrics(tmp_path / "map.json", RESULT)
    assert json.loads((tmp_path / "map.json").read_text()) == {
        "protocol": "official2019",
        "mAP": 0.375,
        "ap": {"walk": 0.5, "run": 0.25, "jump": None},
    }


def test_plot_has_bars_of_the_right_lengths(tmp_path: Path) -> None:
    write_plot(tmp_path / "map.png", RESULT)
    image = cv2.imread(str(tmp_path / "map.png")).astype(int)  # (H, W, BGR)
    blue = np.abs(image - (180, 119, 31)).sum(axis=2) < 10  # tab:blue
    lengths = blue.sum(axis=1)
    rows = np.flatnonzero(lengths)
    upper, lower = lengths[rows[2]], lengths[rows[-3]]
    assert upper / lower == pytest.approx(2, abs=0.03)  # walk over run; jump is left out
    assert len(set(np.diff(rows))) == 2  # two bars: one gap


def test_plot_of_another_ending(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="xyz"):
        write_plot(tmp_path / "map.xyz", RESULT)
    assert list(tmp_path.iterdir()) == []


def test_it_does_not_load_torch() -> None:
    """Which takes more memory than the evaluation of a small set, and longer."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(SCRIPT), "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "hiera_det.projects.ava.evaluation" in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.endswith(" torch")]


def test_names_that_the_locale_lacks_are_printed_by_their_codes(arguments: Callable, tmp_path: Path) -> None:
    labels = tmp_path / "map.txt"
    labels.write_text("1: 走路\n", encoding="utf-8")
    command = [sys.executable, str(SCRIPT), *arguments()[:-1], str(labels), "--json", str(tmp_path / "map.json")]
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=plain, check=True)
    assert "\\u8d70\\u8def" in done.stdout
    assert list(json.loads((tmp_path / "map.json").read_text(encoding="utf-8"))["ap"]) == ["走路"]


def test_actions_of_one_name_have_keys_of_their_own(arguments: Callable, tmp_path: Path) -> None:
    labels = tmp_path / "map.txt"
    labels.write_text("1: walk\n2: walk\n77: walk\n")
    main([*arguments()[:-1], str(labels), "--json", str(tmp_path / "map.json")])
    ap = json.loads((tmp_path / "map.json").read_text())["ap"]
    assert list(ap) == ["walk (id 1)", "walk (id 2)", "walk (id 77)"] and ap["walk (id 77)"] is None
