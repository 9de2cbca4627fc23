"""AVA's tables: label map, ground truth, detections, exclusions, person boxes, frame lists."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.faults.case import Case, Write, put
from tests.faults.corpus.bytes_of import flipped, no_files, strangers, truncated
from tests.faults.corpus.tables import csv_files
from tests.faults.material import Material

__all__ = ["cases"]


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    tables = good.ava / "annotations"
    files = {
        "--ground-truth": tables / "val.csv",
        "--detections": tables / "val_person_boxes.csv",
        "--label-map": tables / "actions.pbtxt",
    }
    truth = (tables / "val.csv").read_text().splitlines()
    detections = [f"{line.rpartition(',')[0]},0.9" for line in truth]
    texts = {
        "--ground-truth": files["--ground-truth"].read_text().splitlines(),
        "--detections": detections,
        "--exclusions": ["val_0001,0902"],
        "--label-map": files["--label-map"].read_text().splitlines(),
    }

    def words(changed: str) -> tuple[str, ...]:
        named = {option: f"{option[2:]}.csv" for option in texts} | {"--label-map": "label-map.pbtxt"}
        return ("ava-evaluate", *(word for pair in named.items() for word in pair), "--json", f"out/{changed}.json")

    def all_but(option: str, write: Write) -> Write:
        def both(folder: Path) -> None:
            for other, lines in texts.items():
                if other != option:
                    put(f"{other[2:]}.{'pbtxt' if other == '--label-map' else 'csv'}", "\n".join(lines) + "\n")(folder)
            write(folder)

        return both

    for option, lines in texts.items():
        name = f"{option[2:]}.{'pbtxt' if option == '--label-map' else 'csv'}"
        text = "\n".join(lines) + "\n"
        yield Case(f"good_{option[2:]}", words("x"), all_but(option, put(name, text)), good=True)
        hostile: dict[str, bytes | str] = dict((*strangers(), *truncated(text.encode(), 5), *flipped(text.encode(), 8)))
        hostile |= _label_maps() if option == "--label-map" else csv_files("", lines)
        for kind, content in hostile.items():
            yield Case(f"{option[2:]}_{kind}", words("x"), all_but(option, put(name, content)))
        for kind, write in no_files(name):
            yield Case(f"{option[2:]}_{kind}", words("x"), all_but(option, write), refused=True)
    yield from _of_folders(good)


def _of_folders(good: Material) -> Iterator[Case]:
    """Through `ava-check`, which finds the files of a folder by itself."""
    words = ("ava-check", "ava", "--videos-begin", "900")
    yield Case("good_check", words, _folder(good, "x", lambda folder: None), good=True)
    lists = (good.ava / "frame_lists" / "val.csv").read_text().splitlines()
    hostile: dict[str, bytes | str] = {**csv_files(lists[0], lists[1:]), **dict(strangers())}
    hostile |= {
        "path_device": f"{lists[0]}\nval_0001 0 0 /dev/zero x\n",
        "path_above": f"{lists[0]}\nval_0001 0 0 ../../../../etc/passwd x\n",
        "frame_huge": f"{lists[0]}\nval_0001 0 {10**12} val_0001/val_0001_000001.jpg x\n",
        "frame_negative": f"{lists[0]}\nval_0001 0 -1 val_0001/val_0001_000001.jpg x\n",
    }
    for kind, content in hostile.items():
        yield Case(
            f"frames_{kind}", words, _folder(good, "frame_lists/val.csv", put("ava/frame_lists/val.csv", content))
        )
    for kind, write in no_files("ava/frame_lists/val.csv"):
        yield Case(f"frames_{kind}", words, _folder(good, "frame_lists/val.csv", write))
    for kind, write in no_files("ava/videos/val_0001.mp4"):
        yield Case(f"videos_{kind}", words, _folder(good, "videos/val_0001.mp4", write))
    for kind, write in no_files("ava/frames/val_0001/val_0001_000061.jpg"):
        yield Case(f"frame_{kind}", words, _folder(good, "frames/val_0001/val_0001_000061.jpg", write))


def _folder(good: Material, without: str, write: Write) -> Write:
    """A copy of the set but for one file, of links to the files."""

    def both(folder: Path) -> None:
        for path in good.ava.rglob("*"):
            relative = path.relative_to(good.ava)
            if path.is_file() and str(relative) != without:
                (folder / "ava" / relative.parent).mkdir(parents=True, exist_ok=True)
                if path.suffix == ".csv":
                    shutil.copy(path, folder / "ava" / relative)
                else:
                    (folder / "ava" / relative).symlink_to(path)
        write(folder)

    return both


def _label_maps() -> dict[str, str]:
    item = 'item {\n  name: "stand"\n  id: 1\n}\n'
    return {
        "no_items": "\n",
        "open": "item {\n",
        "nested": "item {" * 50_000,
        "id_huge": item.replace("1", "9" * 5000),
        "id_negative": item.replace("1", "-1"),
        "id_float": item.replace("1", "1.5"),
        "id_twice": item + item,
        "name_long": item.replace("stand", "x" * 1_000_000),
        "name_escape": item.replace("stand", "\x1b[2J"),
        "name_formula": item.replace("stand", "=1+1"),
        "name_quotes": item.replace("stand", '\\"x\\\\'),
        "name_octal": item.replace("stand", "\\377\\400"),
        "name_surrogate": item.replace("stand", "\udcff"),
        "many": "".join(item.replace("1", str(number)) for number in range(20_000)),
        "other_keys": item.replace("name", "label_type"),
        "one_line": item.replace("\n", " ") * 3,
        "csv": "1,stand\n2,walk\n",
    }
