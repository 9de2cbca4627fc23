"""Which window each block attends in, for the two layouts of attention.

In both, the first block of a stage still has the window of the stage before it: its queries are pooled inside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hiera_det.hiera.tokens import Size

__all__ = ["largest_window_in_units", "released_windows", "windowed_windows"]


def released_windows(stages: Sequence[int], units: Sequence[Size], mask_unit_attn: Sequence[bool]) -> list[Size | None]:
    """The published layout: mask units in the stages of `mask_unit_attn`, global attention (None) in the others.

    Args:
        stages: blocks by stage.
        units: tokens along each side of a mask unit, by stage.
        mask_unit_attn: by stage.
    """
    return [units[lagged] if mask_unit_attn[lagged] else None for _, lagged in _stage_and_lagged(stages)]


def windowed_windows(
    stages: Sequence[int], units: Sequence[Size], window_sizes: Sequence[int], global_blocks: Sequence[int]
) -> list[Size | None]:
    """SAM 2's layout: windows in every stage, global attention (None) in `global_blocks`.

    Args:
        stages: blocks by stage.
        units: tokens along each side of a mask unit, by stage.
        window_sizes: tokens along each side of a window (one frame deep), by stage.
        global_blocks: indices of the blocks with global attention.

    Raises:
        ValueError: not a window for each stage, no such block, or an odd window that would be pooled.
    """
    sizes, blocks = tuple(window_sizes), tuple(global_blocks)
    if len(sizes) != len(stages):
        raise ValueError(f"window_sizes={sizes} must have one size for each of the {len(stages)} stages")
    if not set(blocks) <= set(range(sum(stages))):
        raise ValueError(f"global_blocks={blocks}: there are blocks 0 to {sum(stages) - 1} only")
    windows: list[Size | None] = []
    for i, (stage, lagged) in enumerate(_stage_and_lagged(stages)):
        if units[stage] != units[lagged] and sizes[lagged] % 2:
            raise ValueError(f"window_sizes={sizes}: that of stage {lagged + 1} is pooled and must be even")
        time = (1,) * (len(units[lagged]) - 2)
        windows.append(None if i in blocks else (*time, sizes[lagged], sizes[lagged]))
    return windows


def largest_window_in_units(units: Sequence[Size], window_sizes: Sequence[int]) -> int:
    """Mask units along each side of the largest window that mask units tile, of all stages' windows."""
    return max(1, *(w // u[-1] for w, u in zip(window_sizes, units, strict=True) if w % u[-1] == 0))


def _stage_and_lagged(stages: Sequence[int]) -> Iterator[tuple[int, int]]:
    """For each block, its stage and the stage whose window it has."""
    for stage, depth in enumerate(stages):
        for i in range(depth):
            yield stage, stage - 1 if i == 0 and stage > 0 else stage
