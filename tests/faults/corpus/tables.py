"""CSV tables and lists: boxes, times, labels, lists of paths."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.case import Case, put
from tests.faults.corpus.bytes_of import no_files, strangers, truncated
from tests.faults.corpus.ports import PORT
from tests.faults.material import Material

__all__ = ["cases", "csv_files"]


def cases(good: Material) -> Iterator[Case]:
    """All of the kind."""
    extract = ("extract", "--config", str(good.features_config), "--input", str(good.pictures), "--output", "out")
    boxes = (*extract, "--boxes", "x.csv", "FEATURES.VECTORS", "['mean','roi']")
    clips = ("extract", "--config", str(good.video_features_config), "--input", str(good.video), "--output", "out")
    probe = ("probe", "--store", str(good.store), "--output", "out", "--labels", "x.csv")
    labels = [f"{name}/{number}.png,{name}" for number in range(10) for name in ["ab"[number % 2]]]
    sound = {
        "boxes": (boxes, "id,x1,y1,x2,y2", ["a/0.png,1,1,20,20", "b/1.png,0,0,5.5,30"]),
        "times": ((*clips, "--times", "x.csv"), "video_id,seconds", [f"{good.video.name},{n}.5" for n in range(3)]),
        "labels": (probe, "id,label", labels),
        "test_labels": ((*probe[:-1], "folders", "--test-labels", "x.csv"), "id,label", labels[:2]),
    }
    for table, (words, header, rows) in sound.items():
        text = "\n".join([header, *rows]) + "\n"
        sound_alone = table != "test_labels"  # its ids are of the training too
        yield Case(f"good_{table}", words, put("x.csv", text), good=sound_alone)
        base = f"good_{table}" if sound_alone else "good_labels"
        for name, content in csv_files(header, rows).items():
            yield Case(f"{table}_{name}", words, put("x.csv", content), like=base)
        for name, content in (*strangers(), *truncated(text.encode(), 6)):
            yield Case(f"{table}_{name}", words, put("x.csv", content), like=base)
        for name, write in no_files("x.csv"):
            yield Case(f"{table}_{name}", words, write, refused=True, like=base)
    lists = ("extract", "--config", str(good.features_config), "--input", "x.txt", "--output", "out")
    image = str(next((good.pictures / "a").iterdir()))
    yield Case("good_list", lists, put("x.txt", image + "\n"), good=True)
    for name, content in (*strangers(), *_lists(image).items()):
        yield Case(f"list_of_{name}", lists, put("x.txt", content))
    for name, write in no_files("x.txt"):
        yield Case(f"list_{name}", lists, write, refused=True)


def csv_files(header: str, rows: list[str]) -> dict[str, str]:
    """Tables that are wrong in one way."""
    first, *others = rows
    fields = first.split(",")
    body = "\n".join(rows)

    def row(place: int, value: str) -> str:
        changed = [*fields]
        changed[place] = value
        return "\n".join(filter(None, [header, ",".join(changed), *others])) + "\n"

    values = {
        "long": "x" * 200_000,
        "nul": "a\0b",
        "escape": "\x1b[2J",
        "formula": "=cmd|'/c calc'!A0",
        "html": "<script>alert(1)</script>",
        "surrogate": "\udcff",
        "empty": "",
        "quote": '"',
        "quoted_line": '"a\nb"',
        "nan": "nan",
        "infinite": "inf",
        "power": "1e999",
        "digits": "9" * 5000,
        "negative": "-5",
        "underscore": "1_0",
        "arabic": "\u0663",
        "spaces": "  1  ",
        "hex": "0x10",
        "path": "../../../etc/passwd",
    }
    found = {
        f"field_{place}_{name}": row(place, value) for place in {0, len(fields) - 1} for name, value in values.items()
    }
    return found | {
        "header_alone": header + "\n",
        "header_other": "a,b,c\n" + body,
        "header_long": "x" * 200_000 + "\n" + body,
        "no_header": body,
        "more_columns": "\n".join(filter(None, [header, *(f"{line},1,2,3" for line in rows)])),
        "fewer_columns": "\n".join(filter(None, [header, *(line.partition(",")[0] for line in rows)])),
        "many_columns": header + "\n" + "," * 300_000,
        "twice": "\n".join(filter(None, [header, *rows, *rows])),
        "open_quote": header + '\n"' + body,
        "open_quote_long": header + '\n"' + (body + "\n") * (2_000_000 // len(body)),
        "many_problems": header + "\n" + "x,\n" * 50_000,
        "empty_lines": header + "\n" * 200_000 + body,
        "carriage_returns": (header + "\n" + body).replace("\n", "\r"),
        "semicolons": (header + "\n" + body).replace(",", ";"),
        "bom": "\ufeff" + header + "\n" + body,
        "comment": "# x\n" + header + "\n" + body,
    }


def _lists(image: str) -> dict[str, str]:
    return {
        "long_line": "x" * 1_000_000 + ".png\n",
        "itself": "x.txt\n",
        "device": "/dev/zero\n",
        "above": "../../../../etc/passwd\n",
        "nul": "a\0b.png\n",
        "escape": "\x1b[2J.png\n",
        "formula": "=1+1.png\n",
        "twice": f"{image}\n{image}\n",
        "absent": f"{image}\nabsent.png\n",
        "comments": "#\n" * 200_000,
        "spaces": "   \n" * 1000,
        "many": "".join(f"absent_{number}.png\n" for number in range(20_000)),
        "url": f"http://127.0.0.1:{PORT}/x.png\n",
        "surrogate": "\udcff.png\n",
        "returns": f"{image}\r{image}\r",
    }
