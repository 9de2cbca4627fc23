#!/usr/bin/env python
"""Compare speeds, as ``python -m benchmarks`` does: python tools/benchmark.py --help."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is in no wheel
from benchmarks.cli import main

if __name__ == "__main__":
    main()
