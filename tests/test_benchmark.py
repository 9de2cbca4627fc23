"""The benchmark compares like with like: contenders of one function give the same maps."""

from __future__ import annotations

import pytest

from hiera_det.benchmark.backbone import Result, as_json, compare, format_table
from hiera_det.benchmark.contenders import CONTENDERS


@pytest.fixture(scope="module")
def results():
    for package in "hiera", "timm", "transformers":
        pytest.importorskip(package)
    return compare(list(CONTENDERS), variant="hiera_tiny_224", size=64, rounds=2)


def test_peers_compute_the_same_function(results):
    assert [r.name for r in results] == list(CONTENDERS)
    assert not [r.error for r in results if r.error]
    differences = {r.name: r.difference for r in results}
    for name in "released", "windowed", "windowed-sam2":
        assert differences.pop(name) is None  # the first of its function
    assert set(differences) == {"original", "timm", "transformers", "sam2"}
    assert max(differences.values()) < 1e-4


def test_each_is_timed_and_its_memory_read(results):
    for result in results:
        assert len(result.seconds) == 2 and min(result.seconds) > 0
        assert result.peak_mib >= 0
    assert as_json(results)[0]["median"] == pytest.approx(sum(results[0].seconds) / 2)


def test_ratios_are_by_pairs_of_one_round():
    ours, peer = Result("released", 64, [1.0, 4.0, 2.0]), Result("timm", 64, [2.0, 4.0, 8.0])
    broken = Result("original", 64, error="ModuleNotFoundError: No module named 'hiera'")
    *_, peer_row, broken_row = format_table([ours, peer, broken]).splitlines()
    assert peer_row.split()[-1] == "0.50"  # the median of 1/2, 4/4, 2/8
    assert "did not run: ModuleNotFoundError: No module named 'hiera'" in broken_row


def test_unknown_name():
    with pytest.raises(ValueError, match="no contender is called swin; there are released"):
        compare(["swin"], variant="hiera_tiny_224", size=64)
