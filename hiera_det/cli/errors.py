"""How the tools end when the input is at fault."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["user_errors"]


@contextmanager
def user_errors() -> Iterator[None]:
    """End the process with one line on stderr, in place of a traceback, where the input is at fault.

    Raises:
        SystemExit: with 2 after a ValueError or OSError (flags, config, data, files), with 1 after a
            FloatingPointError (the loss is not finite). Other errors are the program's own and pass.
    """
    try:
        yield
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1 if isinstance(error, FloatingPointError) else 2) from error
