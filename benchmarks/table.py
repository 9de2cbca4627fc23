"""A case as a table for people."""

from __future__ import annotations

from benchmarks.cases import Case, Result, paired_ratio

__all__ = ["format_table"]

_HEADER = ["contender", "package", "function", "ms", "min-max", "items/s", "GFLOP", "MFU", "peak MiB", "differs by"]


def format_table(case: Case) -> str:
    """The conditions, then a row for each contender; the last columns are its time over each of ours, by pairs.

    Times are medians of the rounds, with their range.
    """
    heading = case.title
    if case.product:
        product = case.product
        best = product.flops / min(product.seconds) / 1e9
        heading += f"; matrix products {product.contender.name} ({product.flops / 1e9:.0f} GFLOP) run at"
        heading += f" {product.flops / product.median / 1e9:.0f} GFLOP/s, at best {best:.0f}"
    ran = [_row(case, result) for result in case.complete]
    rows = [[*_HEADER, *(f"/ {own.contender.name}" for own in case.ours)], *ran]
    filled = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    rows = [[row[i] for i in filled] for row in rows] if ran else []
    widths = [max(len(row[i]) for row in rows) for i in range(len(filled))]
    lines = [heading, *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)]
    lines += [f"{r.contender.name} did not run: {r.error.splitlines()[0]}" for r in case.results if r.error]
    return "\n".join([*lines, *(_notes(result) for result in case.complete if result.notes)])


def _row(case: Case, result: Result) -> list[str]:
    contender, mfu = result.contender, case.mfu(result)
    return [
        contender.name,
        contender.package,
        contender.function,
        f"{1e3 * result.median:.1f}",
        f"{1e3 * min(result.seconds):.1f}-{1e3 * max(result.seconds):.1f}",
        f"{result.items / result.median:.2f}",
        f"{result.flops / 1e9:.1f}" if result.flops else "",
        "" if mfu is None else f"{100 * mfu:.0f} %",
        "" if result.peak_mib is None else f"{result.peak_mib:.0f}",
        "" if result.difference is None else f"{result.difference:.0e}",
        *("" if own is result else f"{paired_ratio(result, own):.2f}" for own in case.ours),
    ]


def _notes(result: Result) -> str:
    return f"{result.contender.name}: " + ", ".join(f"{name} {value:.3g}" for name, value in result.notes.items())
