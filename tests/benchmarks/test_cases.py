"""Ratios, MFU, and how cases are shown: JSON, table, plot."""

from __future__ import annotations

import pytest
from PIL import Image

from benchmarks.cases import Case, as_json, combinations, paired_ratio
from benchmarks.plot import check_plot, write_plot
from benchmarks.report import report
from benchmarks.table import format_table


@pytest.fixture
def case(result):
    ours = result("released", [1.0, 4.0, 2.0], items=8, flops=6 * 10**9, peak_mib=100.0, details={"idle share": 0.25})
    timm = result("timm", [2.0, 4.0, 8.0], package="timm", items=8, flops=6 * 10**9, difference=2e-6)
    absent = result("original", [], package="hiera-transformer", error="hiera-transformer is not installed (x)\nmore")
    product = result("2048 x 2048", [0.5, 0.5, 2.0], package="torch", flops=10**10)
    return Case({"size": 224, "frames": None, "batch": 8}, [ours, timm, absent], product)


def test_ratios_are_by_pairs_of_one_round(case):
    ours, timm, _ = case.results
    assert paired_ratio(timm, ours) == 2.0  # the median of 2/1, 4/4, 8/2; of the medians it would be the same
    assert paired_ratio(ours, case.product) == 2.0  # of 2, 8 and 1; of the medians it would be 4


def test_mfu_is_relative_to_the_product_of_the_same_round(case):
    assert case.mfu(case.results[0]) == pytest.approx(0.6 * 0.5)  # the median of 0.5/1, 0.5/4, 2/2
    case.product = None
    assert case.mfu(case.results[0]) is None


def test_json(case):
    ours, timm, absent = as_json([case])
    assert ours["size"] == 224 and ours["batch"] == 8 and ours["candidate"] == "released"
    assert ours["median_seconds"] == 2.0 and ours["items_per_second"] == 4.0 and ours["gflops"] == 6.0
    assert ours["matrix_product_gflops_per_second"] == 20.0 and ours["mfu"] == pytest.approx(0.3)
    assert timm["time_over_ours"] == {"released": 2.0} and timm["difference"] == 2e-6
    assert absent["error"].startswith("hiera-transformer is not installed") and "seconds" not in absent


def test_table(case):
    heading, header, ours, timm, absent, details = format_table(case).splitlines()
    assert heading == "size 224, batch 8; matrix products 2048 x 2048 (10 GFLOP) run at 20 GFLOP/s, at best 20"
    assert header.split()[-2:] == ["/", "released"]
    assert ours.split() == ["released", "hiera_det", "f", "2000.0", "1000.0-4000.0", "4.00", "6.0", "30", "%", "100"]
    assert timm.split() == ["timm", "timm", "f", "4000.0", "2000.0-8000.0", "2.00", "6.0", "15", "%", "2e-06", "2.00"]
    assert absent == "original did not run: hiera-transformer is not installed (x)"
    assert details == "released: idle share 0.25"


def test_a_table_leaves_out_what_nobody_has(result):
    table = format_table(Case({"keyframes": 5}, [result("ours", [1.0]), result("x", [2.0], package="x")]))
    assert "MFU" not in table and "peak MiB" not in table and "keyframes 5" in table
    nobody = Case({}, [result("x", [], error="it has no video")])
    assert "x did not run: it has no video" in format_table(nobody)


def test_combinations():
    assert list(combinations({"size": [1, 2], "batch": [3]})) == [{"size": 1, "batch": 3}, {"size": 2, "batch": 3}]


@pytest.mark.parametrize(("sizes", "curves"), [([224, 448, 1024], True), ([224, 1024], False)])
def test_plot(result, tmp_path, monkeypatch, sizes, curves):
    from benchmarks import plot

    drawn = []
    for name in "_draw_curves", "_draw_bars":
        draw = getattr(plot, name)
        monkeypatch.setattr(plot, name, lambda *args, draw=draw, name=name: (drawn.append(name), draw(*args)))
    cases = [
        Case({"size": size, "batch": batch}, [result("a", [size / 1e3]), result("b", [0.2], package="b")])
        for size in sizes
        for batch in (1, 8)
    ]
    write_plot(tmp_path / "times.png", cases)
    assert Image.open(tmp_path / "times.png").width > 500
    assert drawn == (["_draw_curves"] * 2 if curves else ["_draw_bars"] * 4)  # a panel for each batch, or each case


def test_curves_of_like_times_have_room_and_ticks(result):
    from matplotlib.figure import Figure

    from benchmarks.plot import _draw_curves

    ax = Figure().subplots()
    _draw_curves(ax, [Case({"batch": n}, [result("a", [0.11 + n / 1e3])]) for n in (1, 2, 4)], "batch", {"a": "C0"})
    low, high = ax.get_ylim()
    assert low < 60 and high > 200
    assert len([tick for tick in ax.get_yticks() if low <= tick <= high]) >= 2


def test_bars_are_labelled_with_times_and_ratios_over_ours_of_the_same_function(result):
    from matplotlib.figure import Figure

    from benchmarks.plot import _draw_bars

    def labels(*results):
        ax = Figure().subplots()
        _draw_bars(ax, Case({}, list(results)), {r.candidate.name: "C0" for r in results})
        return [text.get_text() for text in ax.texts], ax.get_xlabel()

    ours, same = result("ours", [14.1334]), result("same", [0.028267], package="x")
    assert labels(ours, same) == (["14133", "28.27  (0.00 x)"], "ms per item (others: their time over ours)")
    other = result("other", [32.6], package="x", function="g")
    assert labels(ours, other) == (["14133", "32600"], "ms per item")


def test_a_plot_that_cannot_be_drawn_is_refused_before_the_first_case(tmp_path, monkeypatch):
    check_plot(tmp_path / "new" / "x.png")
    assert (tmp_path / "new").is_dir()

    def cases():
        raise AssertionError("this would take hours")
        yield

    with pytest.raises(ValueError, match=r"x\.xyz: expected a name that ends with one of .*\.png"):
        report(cases(), "cpu", None, tmp_path / "x.xyz")
    monkeypatch.setattr("benchmarks.plot.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="drawing needs matplotlib"):
        report(cases(), "cpu", None, tmp_path / "x.png")


def test_nothing_to_plot(result, tmp_path):
    with pytest.raises(ValueError, match="no candidate ran"):
        write_plot(tmp_path / "x.png", [Case({"size": 1}, [result("a", [], error="no")])])


def test_report_keeps_what_is_done_when_a_case_fails(case, tmp_path, capsys):
    def cases():
        yield case
        raise ValueError("the second case is bad")

    with pytest.raises(ValueError, match="second case"):
        report(cases(), "cpu", tmp_path / "new" / "out.json", None)
    assert "size 224, batch 8" in capsys.readouterr().out
    assert '"candidate": "timm"' in (tmp_path / "new" / "out.json").read_text()


def test_no_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="torch sees no GPU"):
        report(iter(()), "cuda", None, None)
