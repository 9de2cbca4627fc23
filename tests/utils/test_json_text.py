"""Settings in JSON of any origin: a plain value, or one line that names the file."""

from __future__ import annotations

import pytest

from hiera_det.utils.json_text import read_json, read_json_object


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, r"not a JSON file \(it is nested too deeply"),
        ('{"a":' * 100_000, r"not a JSON file \(it is nested too deeply"),
        ("[" * 500 + "]" * 500, "nested in more than 100 levels"),
        ('{"a": [' * 200 + "]}" * 200, "nested in more than 100 levels"),
        ("1" + "0" * 400, "an integer of 1329 bits"),
        ("[1, -1" + "0" * 400 + "]", "an integer of 1329 bits"),
        ("1" * 5000, "not a JSON file"),
        ("1e400", "the number inf"),
        ('{"a": [NaN]}', "the number nan"),
        ("[-Infinity]", "the number -inf"),
        (r'["\ud800"]', "no valid text"),
        (r'{"\udfff": 1}', "no valid text"),
        ("", r"not a JSON file \(it is empty"),
        ("version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        ("<html>", "HTML or XML"),
        ("[1, 2] x", "Extra data"),
        ("\0\0\1\2\3\4\5\6\7", "looks like a binary"),
        (" " * (17 << 20), "more than 16777216 bytes"),
    ],
    ids=lambda value: value[:12],
)
def test_what_is_no_plain_value_is_named(tmp_path, text, message):
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_json(path)
    assert str(path) in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_plain_values(tmp_path):
    path = tmp_path / "settings.json"
    path.write_bytes('\ufeff{"a": [1, -2.5, null, true, "ä", {"b": 9223372036854775807}], "a2": {}}'.encode())
    expected = {"a": [1, -2.5, None, True, "ä", {"b": 2**63 - 1}], "a2": {}}
    assert read_json(path) == read_json_object(path) == expected
    path.write_text("[1]")
    with pytest.raises(ValueError, match=r"settings\.json holds a list, expected an object"):
        read_json_object(path)
