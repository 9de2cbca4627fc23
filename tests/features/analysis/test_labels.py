from __future__ import annotations

import pytest

from hiera_det.features.analysis.labels import folder_labels, read_labels


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_labels_of_a_file(tmp_path, mark):
    path = tmp_path / "labels.csv"
    path.write_text(f'{mark}id,label\ncat/1.jpg,cat\n\n"a, b.jpg","dog, ""old"""\nä.jpg,ü\n', encoding="utf-8")
    assert read_labels(path) == {"cat/1.jpg": "cat", "a, b.jpg": 'dog, "old"', "ä.jpg": "ü"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begins with ''.*expected the header id,label"),
        ("a.jpg,cat\n", "begins with 'a.jpg,cat'.*expected the header id,label"),
        ("id,label\n", "no row after its header"),
        ("id,label\na,cat\nb\n", "line 3: 'b', expected id,label"),
        ("id,label\na,cat\nb,\n", "line 3: 'b,', expected id,label"),
        ("id,label\na,cat,dog\n", "line 2: 'a,cat,dog', expected id,label"),
        ("id,label\na,cat\nb,cat\na,dog\n", "line 4: id 'a' comes a second time"),
        ("id,label\na,\udcff\n", "near line 1 is no CSV in UTF-8|near line 2 is no CSV in UTF-8"),
    ],
)
def test_malformed_files(tmp_path, text, message):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


def test_first_folder():
    assert folder_labels(["cat/tabby/1.jpg", "dog/1.jpg"]) == {"cat/tabby/1.jpg": "cat", "dog/1.jpg": "dog"}


def test_ids_without_a_folder():
    with pytest.raises(ValueError, match=r"2 ids have no folder to be their label: '1\.jpg', '2\.jpg'"):
        folder_labels(["cat/1.jpg", "1.jpg", "2.jpg"])
