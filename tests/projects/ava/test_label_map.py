"""Label maps as others write them."""

from __future__ import annotations

import pytest

from hiera_det.projects.ava.formats import read_label_map

TWO = {1: "bend/bow (at the waist)", 3: "talk to (e.g., self, a person)"}
BLOCK = 'item {{\n  name: "{}"\n  id: {}\n}}\n'
BLOCKS = "".join(BLOCK.format(name, number) for number, name in TWO.items())


@pytest.mark.parametrize(
    "text",
    [
        BLOCKS,
        BLOCKS.replace("\n", "\r\n"),
        BLOCKS.replace('"', "'"),
        BLOCKS.replace("item", "label").replace("  id", "  label_type: PERSON_MOVEMENT\n  label_id"),
        BLOCKS + '#item {\n#  name: "watch"\n#  id: 80\n#}\n',
        BLOCKS + '# item { name: "watch" id: 80 }\n',
        BLOCKS.replace("  id", '  # name: "other"\n  # id: 7\n  id'),
        BLOCKS.replace("\n}", " # id: 7 }\n}"),
        BLOCKS.replace("item {", "item: {").replace('"\n', '",\n'),
        BLOCKS + BLOCKS,
        "".join(f"{number}: {name}\n" for number, name in TWO.items()),
        "".join(f"{number} {name}\n" for number, name in TWO.items()),
        "".join(f"{number}\t{name}\n" for number, name in TWO.items()),
        "# of AVA\n\n" + "".join(f"{number},{name}\n" for number, name in TWO.items()),
        "id,name\n" + "".join(f'{number},"{name}"\n' for number, name in TWO.items()),
        "label_name,label_id\r\n" + "".join(f'"{name}",{number}\r\n' for number, name in TWO.items()),
        "name;id\n" + "".join(f"{name};{number}\n" for number, name in TWO.items()),
        "id,name\n" + "".join(f'{number}.0,"{name}",\n' for number, name in TWO.items()),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_label_maps_of_many_kinds(tmp_path, text, encoding):
    path = tmp_path / "map.pbtxt.txt"
    path.write_text(text, encoding=encoding, newline="")
    assert read_label_map(path) == TWO


def test_names_in_quotes(tmp_path):
    path = tmp_path / "map.pbtxt"
    path.write_text(r"""item { name: "Z\303\244hler \"x\"" id: 1 } item { name: 'y # {z}' id: 2 }""")
    assert read_label_map(path) == {1: 'Zähler "x"', 2: "y # {z}"}


def test_names_that_come_twice_are_kept(tmp_path, caplog):
    path = tmp_path / "map.pbtxt"
    path.write_text("1: walk\n2: run\n3: walk\n3: walk\n")
    assert read_label_map(path) == {1: "walk", 2: "run", 3: "walk"}
    assert "some names have several ids" in caplog.text and "1 entries come a second time" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abseiling\nair drumming\n", r"(?s)line 1: 'abseiling' has no id.*line 2: 'air drumming' has no id"),
        ('{"1": "walk"}', "map.pbtxt looks like JSON"),
        ("<html>", "looks like XML or HTML"),
        ('# item { name: "a" id: 1 }\n', "has no action"),
        ('item { name: "a" id: 1\nitem { name: "b" id: 2 }', "line 1: the block has no end"),
        ('item { name: "a id: 1 }\n', "line 1: a quote without its end"),
        ('item { name: "a" id: 99999999999 }', "id 99999999999, 'a': ids start at 1 and end at 2147483647"),
        ('item { name: "a" id: 1.5 }', "id 1.5 is no integer"),
        ('// item { name: "a" id: 1 }\nitem { name: "b" id: 2 }', "line 1: item stands outside of blocks"),
        ("1,walk,MOVE\n2,run,MOVE\n", "has 3 columns, expected an id and a name"),
        ("1,2\n2,3\n", "names that are numbers"),
        ("1: a\n2: b\nc: 3\n", "line 3: 'c: 3' has no id where the other lines have it"),
        ("0: a\n1: b\n", "line 1: id 0, 'a': ids start at 1"),
        ("1: a\n1: b\n", "line 2: id 1, 'b': the id is that of 'a' already"),
    ],
)
def test_what_is_no_label_map_says_what_is_expected(tmp_path, text, message):
    path = tmp_path / "map.pbtxt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_label_map(path)
    assert "expected blocks item" in str(caught.value)
