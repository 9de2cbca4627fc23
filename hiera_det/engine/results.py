"""Files of results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiera_det.utils.files import written_aside

__all__ = ["write_results"]


def write_results(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write numbers and texts, by name or in nested tables, as JSON; NaN, which JSON does not know, as null."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_text(json.dumps(_without_nan(content), indent=1, allow_nan=False), encoding="utf-8")


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(inner) for name, inner in value.items()}
    return None if value != value else value
