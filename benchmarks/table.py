"""A case as a table of text."""

from __future__ import annotations

from benchmarks.cases import Case, Result, paired_ratio

__all__ = ["format_table"]

_HEADER = ["candidate", "package", "function", "ms", "min-max", "items/s", "GFLOP", "MFU", "peak MiB", "difference"]


def format_table(case: Case) -> str:
    """Format the conditions, then a row for each candidate.

    Times are medians of the rounds, with their range. The last columns have the paired ratio to each of our candidates.
    A column that would be empty is left out.
    """
    heading = case.title
    if case.product:
        product = case.product
        best = product.flops / min(product.seconds) / 1e9
        heading += f"; matrix products {product.candidate.name} ({product.flops / 1e9:.0f} GFLOP) run at"
        heading += f" {product.flops / product.median / 1e9:.0f} GFLOP/s, at best {best:.0f}"
    rows = [_row(case, result) for result in case.complete]
    table = [[*_HEADER, *(f"/ {own.candidate.name}" for own in case.ours)], *rows] if rows else []
    columns = [column for column in zip(*table, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in zip(*columns, strict=True)]
    lines += [f"{r.candidate.name} did not run: {r.error.splitlines()[0]}" for r in case.results if r.error]
    for result in case.complete:
        if details := ", ".join(f"{name} {value:.3g}" for name, value in result.details.items()):
            lines.append(f"{result.candidate.name}: {details}")
    return "\n".join([heading, *lines])


def _row(case: Case, result: Result) -> list[str]:
    candidate, mfu = result.candidate, case.mfu(result)
    return [
        candidate.name,
        candidate.package,
        candidate.function,
        f"{1e3 * result.median:.1f}",
        f"{1e3 * min(result.seconds):.1f}-{1e3 * max(result.seconds):.1f}",
        f"{result.items / result.median:.2f}",
        f"{result.flops / 1e9:.1f}" if result.flops else "",
        "" if mfu is None else f"{100 * mfu:.0f} %",
        "" if result.peak_mib is None else f"{result.peak_mib:.0f}",
        "" if result.difference is None else f"{result.difference:.0e}",
        *("" if own is result else f"{paired_ratio(result, own):.2f}" for own in case.ours),
    ]
