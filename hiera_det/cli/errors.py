"""How the commands end when the input is at fault, or a GPU too small."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from hiera_det.utils.escape import printable

__all__ = ["OUT_OF_MEMORY", "user_errors"]

_LINES = "\n"  # between the problems of a file
_NO_MEMORY = "DefaultCPUAllocator: "  # PyTorch's, in place of a MemoryError

# In the order of least harm: the first two change no result, the third its last digits.
OUT_OF_MEMORY = (
    "the GPU's memory does not suffice. In the order of least harm: for training MODEL.HIERA.ACTIVATION_CHECKPOINTING"
    " True (slower, the same result), --accumulate 2 or more (the same batch in parts), --precision bf16 (or"
    " FEATURES.PRECISION bf16 for features); then a smaller batch (SOLVER.IMS_PER_BATCH with SOLVER.BASE_LR in"
    " proportion, DATALOADER.BATCH_SIZE for features); then smaller images (INPUT.MAX_SIZE_TRAIN,"
    " INPUT.MIN_SIZE_TEST, MODEL.HIERA.SQUARE_PAD)"
)


@contextmanager
def user_errors() -> Iterator[None]:
    """End the process with one line on stderr, in place of a traceback, where the input is at fault.

    Raises:
        SystemExit: with 2 after a ValueError or OSError (flags, config, data, files), with 1 after a
            FloatingPointError (the loss is not finite) or when the memory does not suffice, a GPU's or the machine's,
            with 130 after a Ctrl-C. Other errors are the program's own and pass.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a locale that lacks a letter of a class's name is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except (ValueError, OSError, FloatingPointError) as error:
        code = 1 if isinstance(error, FloatingPointError) else 2
        raise _end(f"error: {printable(str(error), keep=_LINES)}", code) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or _NO_MEMORY in str(error):
            raise _end(f"error: the machine's memory does not suffice ({error})", 1) from error
        if "OutOfMemoryError" not in f"{type(error).__name__} {error}":  # perhaps of a process that was started
            raise
        raise _end(f"error: {OUT_OF_MEMORY}", 1) from error
    except KeyboardInterrupt as error:
        raise _end("stopped by Ctrl-C", 128 + signal.SIGINT) from error


def _end(line: str, code: int) -> SystemExit:
    """Print a line, below progress bars that are not at their end, and give the end of the process."""
    for bar in list(getattr(tqdm, "_instances", ())):
        bar.close()
    print(line, file=sys.stderr)
    return SystemExit(code)
