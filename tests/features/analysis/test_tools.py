"""tools/probe.py and tools/search_features.py on stores as an extraction writes them."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from hiera_det.cli import probe, search
from hiera_det.cli.errors import user_errors
from hiera_det.features.analysis.thumbnails import thumbnails
from hiera_det.features.store.reader import FeatureStore
from hiera_det.features.store.rows import Features
from hiera_det.features.store.writer import create_store, write_shard
from hiera_det.inputs.items import Item, Plan
from hiera_det.inputs.tars import images_of_tar

COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}
BROKEN = "red/broken.png"


def write_store(root: Path, items: list[Item], vectors: dict[str, np.ndarray], weights: str = "ab" * 32) -> Path:
    """Items without a vector have failed."""
    plan = Plan(items, 7)
    create_store(root, {"model": "tiny", "weights_sha256": weights, "package_version": "0"}, plan)
    for index, part in enumerate(plan):
        done = [
            Features(item, 8, 8, {}, {}, {"mean": torch.from_numpy(vectors[item.id]).half()})
            for item in part
            if item.id in vectors
        ]
        write_shard(root, index, done, [(item, "damaged") for item in part if item.id not in vectors])
    return root


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Ten pictures of each colour in its folder, one of them damaged; the higher the number, the darker."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for i in range(10):
            Image.new("RGB", (8, 8), tuple(int(value * (1 - i / 20)) for value in colour)).save(
                folder / name / f"{i}.png"
            )
    (folder / BROKEN).write_bytes(b"")
    return folder


@pytest.fixture(scope="session")
def vectors(pictures) -> dict[str, np.ndarray]:
    """A class's direction, from which its pictures turn away by one degree after the other."""
    found = {}
    for kind, name in enumerate(COLOURS):
        for i in range(10):
            vector = np.zeros(5, np.float32)
            vector[kind], vector[3] = np.cos(np.deg2rad(i)), np.sin(np.deg2rad(i))
            found[f"{name}/{i}.png"] = (i + 1) * vector
    return found


@pytest.fixture(scope="session")
def store(tmp_path_factory, pictures, vectors) -> Path:
    names = sorted([*vectors, BROKEN])
    items = [Item(name, str(pictures / name)) for name in names]
    return write_store(tmp_path_factory.mktemp("stores") / "features", items, vectors)


def write_labels(path: Path, labels: dict[str, str]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "label"), *labels.items()])
    return str(path)


def exit_code(command: ModuleType, *arguments: str) -> int:
    with pytest.raises(SystemExit) as caught, user_errors():
        command.main(list(map(str, arguments)))
    return caught.value.code


@pytest.mark.parametrize("method", ["linear", "knn"])
def test_probe_by_folders(store, tmp_path, capsys, method):
    output = tmp_path / "new" / "probe"
    options = ["--method", method, "--k", "3", "--seed", "5"]
    probe.main(["--store", str(store), "--labels", "folders", "--output", str(output), *options])
    result = json.loads((output / "probe.json").read_text())
    assert (result["accuracy"], result["chance"]) == (1.0, pytest.approx(1 / 3))
    assert (result["classes"], result["train"], result["test"]) == (3, 24, 6)
    assert list(result["per_class"]) == ["blue", "green", "red"]
    assert (result["settings"]["method"], result["settings"]["seed"]) == (method, 5)
    assert Image.open(output / "confusion.png").format == "PNG"
    printed = capsys.readouterr().out
    assert "accuracy: 100.00 % of 6 test items, after 24 training items of 3 classes" in printed
    assert "chance:    33.33 %" in printed
    assert "left out" not in printed


def test_probe_with_test_labels_of_their_own(store, tmp_path, capsys, caplog):
    """One test item has the wrong label; one labelled item could not be read; 18 have no label."""
    train = {f"{name}/{i}.png": name for name in COLOURS for i in range(3)} | {BROKEN: "red"}
    test = {"red/5.png": "red", "blue/5.png": "blue", "green/5.png": "blue"}
    labels, test_labels = write_labels(tmp_path / "a.csv", train), write_labels(tmp_path / "b.csv", test)
    probe.main(
        ["--store", str(store), "--labels", labels, "--test-labels", test_labels, "--output", str(tmp_path / "probe")]
    )
    result = json.loads((tmp_path / "probe" / "probe.json").read_text())
    assert (result["accuracy"], result["chance"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (result["train"], result["test"]) == (9, 3)
    assert result["per_class"]["blue"] == {"accuracy": 0.5, "train": 3, "test": 2}
    assert result["per_class"]["green"] == {"accuracy": None, "train": 3, "test": 0}
    assert "18 items of the store have no label and are left out" in capsys.readouterr().out
    assert f"1 labelled items could not be read and are left out: '{BROKEN}'" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--vector", "max"], "has no vectors 'max'; those there are: mean"),
        (["--test-share", "0.05"], "leaves 28 training and 2 test items, fewer than the 3 classes"),
        (["--method", "knn", "--k", "25"], "25 neighbours of 24 training items"),
        (["--labels", "nowhere.csv"], "nowhere.csv"),
        (["--test-labels", "folders"], "30 ids are training and test items both"),
        (["--store", "."], "no store of features"),
    ],
)
def test_probe_tells_what_is_wrong(store, tmp_path, capsys, change, message):
    arguments = ["--store", store, "--labels", "folders", "--output", tmp_path, *change]
    assert exit_code(probe, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
    assert list(tmp_path.iterdir()) == []


def test_search(store, tmp_path, capsys):
    page, picture = tmp_path / "new" / "matches.html", tmp_path / "matches.png"
    search.main(
        [
            *("--store", str(store), "--k", "3", "--query", "red/4.png", "blue/0.png"),
            "--output",
            str(page),
            str(picture),
        ]
    )
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [[q, str(i)] for q in ("red/4.png", "blue/0.png") for i in (1, 2, 3)]
    assert {line[3] for line in lines[:2]} == {"red/3.png", "red/5.png"}  # both a degree away
    assert [line[3] for line in lines[3:]] == ["blue/1.png", "blue/2.png", "blue/3.png"]
    assert [float(line[2]) for line in lines[3:]] == pytest.approx(np.cos(np.deg2rad([1, 2, 3])), abs=1e-4)
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 8
    places = [text.index(f"<br>{name}<") for name in ("red/4.png", "blue/0.png", "blue/1.png", "blue/2.png")]
    assert places == sorted(places)
    sheet = Image.open(picture).convert("RGB")
    assert sheet.size == (12 + 4 * 212, 48 + 2 * 260)
    assert sheet.getpixel((100, 150)) == tuple(int(v * 0.8) for v in COLOURS["red"])
    assert sheet.getpixel((100, 410)) == COLOURS["blue"]
    assert sheet.getpixel((312, 410)) == tuple(int(v * 0.95) for v in COLOURS["blue"])


def test_search_with_queries_of_another_store(store, vectors, pictures, tmp_path, capsys):
    """The other store's item of the same id is another: it may be found."""
    items = [Item("red/4.png", str(pictures / "red/4.png"))]
    other = write_store(tmp_path / "other", items, {"red/4.png": vectors["red/4.png"]})
    common = ["--store", str(store), "--k", "1", "--query", "red/4.png", "--output", str(tmp_path / "m.png")]
    search.main([*common, "--query-store", str(other)])
    assert capsys.readouterr().out == "red/4.png\t1\t1.000000\tred/4.png\n"
    search.main([*common, "--query-store", str(store.parent / "." / "features")])  # the same store by another name
    assert "red/4.png" not in capsys.readouterr().out.split("\t")[-1]


def test_search_refuses_vectors_of_other_weights(store, vectors, pictures, tmp_path, capsys):
    items = [Item("red/4.png", str(pictures / "red/4.png"))]
    other = write_store(tmp_path / "other", items, {"red/4.png": vectors["red/4.png"]}, weights="cd" * 32)
    arguments = ["--store", store, "--query-store", other, "--query", "red/4.png", "--output", tmp_path / "m.png"]
    assert exit_code(search, *arguments) == 2
    assert "weights cdcdcdcdcdcd…" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--query", "red/4.jpg", "x"], "2 of 2 ids are not among the 30 of the store: 'red/4.jpg', 'x'"),
        (["--query", BROKEN], f"'{BROKEN}' could not be read when features were taken: damaged"),
        (["--k", "0"], "0 matches wanted"),
        (["--vector", "roi"], "has no vectors 'roi'; those there are: mean"),
        (["--output", "matches.pdf"], "not 'matches.pdf'"),
    ],
)
def test_search_tells_what_is_wrong(store, tmp_path, capsys, change, message):
    arguments = ["--store", store, "--query", "red/4.png", "--output", tmp_path / "m.png", *change]
    assert exit_code(search, *arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_pictures_out_of_a_tar(pictures, vectors, tmp_path, caplog):
    """The table does not say where in the tar an image lies; where the tar is gone, a tile stands for it."""
    path = tmp_path / "shard.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("blue/0.png", "red/0.png"):
            tar.addfile(_member(name, pictures), io.BytesIO((pictures / name).read_bytes()))
    store = FeatureStore(write_store(tmp_path / "features", images_of_tar(str(path)), vectors))
    found = thumbnails(store, ["red/0.png", "blue/0.png"])
    assert {name: picture.getpixel((0, 0)) for name, picture in found.items()} == {
        "red/0.png": COLOURS["red"],
        "blue/0.png": COLOURS["blue"],
    }
    assert not caplog.text
    shutil.move(path, tmp_path / "moved.tar")
    found = thumbnails(store, ["red/0.png"])
    assert list(found) == ["red/0.png"] and found["red/0.png"].getpixel((0, 0)) == (216, 216, 216)
    assert "no pictures of" in caplog.text


def _member(name: str, folder: Path) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = (folder / name).stat().st_size
    return member
