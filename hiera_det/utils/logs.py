"""The package's log on stderr."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterable
from typing import Any

from hiera_det.utils.escape import printable

__all__ = ["LineFormatter", "StderrHandler", "set_handlers", "show_log"]


class LineFormatter(logging.Formatter):
    """Shows what control characters in names would do; no name can forge a line: further ones of a message stand in."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record."""
        return printable(super().format(record).replace("\n", "\n  "), keep="\n\t")


class StderrHandler(logging.StreamHandler):
    """Writes to what ``sys.stderr`` is at the time."""

    def __init__(self) -> None:
        logging.Handler.__init__(self, logging.INFO)

    @property
    def stream(self) -> Any:
        """Of the process now."""
        return sys.stderr


def set_handlers(handlers: Iterable[logging.Handler], level: int) -> None:
    """Give the package's log these handlers in place of those that it has."""
    package = logging.getLogger("hiera_det")
    for handler in package.handlers[:]:
        handler.close()
        package.removeHandler(handler)
    for handler in handlers:
        package.addHandler(handler)
    package.setLevel(level)


def show_log() -> None:
    """Show the log on stderr, unless it is shown already; a run that begins later shows it in its own way.

    What fvcore makes torch say as it is imported is not shown: nobody who runs a command can do anything about it.
    """
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
    if not logging.getLogger("hiera_det").handlers:
        handler = StderrHandler()
        handler.setFormatter(LineFormatter("%(levelname)s: %(message)s"))
        set_handlers([handler], logging.INFO)
