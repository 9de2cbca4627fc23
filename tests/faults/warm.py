"""Runs of the command in forks of a process that has imported everything: a case takes tenths of a second."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import io
import logging
import os
import resource
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tests.faults.watch import watch

__all__ = ["Child", "Outcome", "command", "import_everything", "run", "start"]

_MEMORY = 6 << 30  # bytes beyond which an allocation fails: the machine goes on
_ENDS_WITH_PARENT, _SUBREAPER = 1, 36  # of prctl; the latter: orphans become children of this process
_CPU = 120  # seconds, where a process does not heed that it is to end


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes:
        code: its exit status; of a signal the negative number.
        seconds: of wall-clock time, without those in which it waited for a processor.
        peak: most memory it had, in MiB.
        stdout: what it printed.
        stderr: the same.
        acts: forbidden ones, see :mod:`tests.faults.watch`.
        late: it was killed as it took too long.
        left: processes of it that still ran behind its end.
    """

    code: int
    seconds: float
    peak: float
    stdout: str
    stderr: str
    acts: tuple[str, ...] = ()
    late: bool = False
    left: int = 0


def import_everything() -> None:
    """Import what the commands import, with one thread each: what is forked from here must have no threads."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", HF_HUB_OFFLINE="1", MPLBACKEND="Agg")
    import torch

    torch.set_num_threads(1)
    from hiera_det.cli.main import COMMANDS

    for commands in COMMANDS.values():
        for _, module, _ in commands:
            import_module(module)
    for name in ("lightning", "av", "cv2", "pandas", "pyarrow.parquet", "tensorboard", "torch.utils.tensorboard"):
        import_module(name)
    import hiera_det.engine.run
    import hiera_det.projects.ava.task  # noqa: F401

    logging.getLogger().handlers.clear()


def command(words: Sequence[str]) -> Callable[[], None]:
    """``hiera-det`` with these words."""

    def work() -> None:
        from hiera_det.cli.main import main

        sys.argv = ["hiera-det", *words]
        main(words)

    return work


@dataclass
class Child:
    """A process that was started.

    Attributes:
        pid: its id, also that of its group.
        folder: its working folder, in which files with its output are.
    """

    pid: int
    folder: Path
    began: float

    def wait(self, limit: float) -> Outcome:
        """Wait for its end, or kill it and its children after ``limit`` seconds."""
        late = not self._ended(limit)
        seconds = self._seconds()
        if late:
            os.kill(self.pid, signal.SIGUSR1)  # it writes where it is to .stack
            time.sleep(0.2)
            self.kill()
        _, status, usage = os.wait4(self.pid, 0)
        left = _others(self.pid)
        self.kill()
        with contextlib.suppress(ChildProcessError):
            while True:  # what it had started: a program that looks for their ids is not to find them
                os.waitpid(-self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        texts = [(self.folder / name).read_text("utf-8", "replace") for name in (".stdout", ".stderr", ".acts")]
        acts = tuple(dict.fromkeys(texts[2].splitlines()))
        return Outcome(code, seconds, usage.ru_maxrss / 1024, texts[0], texts[1], acts, late, left)

    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return _others(self.pid) > 0

    def kill(self) -> None:
        """End it and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _ended(self, limit: float) -> bool:
        handle = os.pidfd_open(self.pid)
        try:
            while (left := limit - self._seconds()) > 0:
                if select.select([handle], [], [], left)[0]:
                    return True
            return False
        finally:
            os.close(handle)

    def _seconds(self) -> float:
        """Since its start, without those in which it waited for a processor: other work on the machine is not its."""
        waited = int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9
        return time.perf_counter() - self.began - waited


def start(
    work: Callable[[], None],
    folder: Path,
    *,
    before: Callable[[], None] | None = None,
    watched: bool = True,
    environment: dict[str, str] | None = None,
) -> Child:
    """Start a process that works in a folder of its own.

    Args:
        work: what it does.
        folder: where; it is made.
        before: is called in the process before ``work``.
        watched: note forbidden acts.
        environment: further variables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".acts").touch()
    sys.stdout.flush()
    sys.stderr.flush()
    _prctl(_SUBREAPER, 1)
    began = time.perf_counter()
    pid = os.fork()
    if pid:
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)
        return Child(pid, folder, began)
    code = 70
    try:
        _settle(folder, environment or {})
        if before is not None:
            before()
        if watched:
            watch(folder, os.open(folder / ".acts", os.O_WRONLY | os.O_APPEND))
        code = _work(work)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def run(work: Callable[[], None], folder: Path, limit: float, **options: Any) -> Outcome:
    """Start and wait, see :func:`start` and :meth:`Child.wait`."""
    return start(work, folder, **options).wait(limit)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value)


def _work(work: Callable[[], None]) -> int:
    """Do it, and what Python does at its end; the exit status."""
    code = 0
    try:
        work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    return code


def _settle(folder: Path, environment: dict[str, str]) -> None:
    """A process group, a folder, streams, an environment and bounds of its own."""
    with contextlib.suppress(PermissionError):
        os.setpgid(0, 0)
    _prctl(_ENDS_WITH_PARENT, signal.SIGKILL)
    os.chdir(folder)
    for name, number in ((".stdout", 1), (".stderr", 2)):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8", "backslashreplace") for number in (1, 2)
    )
    scratch = folder / ".scratch"
    scratch.mkdir(exist_ok=True)
    places = dict.fromkeys(("HOME", "TMPDIR", "TORCH_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"), str(scratch))
    os.environ.update({**places, **environment})
    tempfile.tempdir = None
    getattr(tqdm, "_instances", set()).clear()  # a bar of the parent would move those of the child
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.register(signal.SIGUSR1, open(folder / ".stack", "w"))  # noqa: SIM115
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    bounds = {resource.RLIMIT_AS: used + _MEMORY, resource.RLIMIT_CPU: _CPU, resource.RLIMIT_CORE: 0}
    for name, value in bounds.items():
        resource.setrlimit(name, (value, resource.getrlimit(name)[1]))


def _others(group: int) -> int:
    """Processes of a group that run."""
    count = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            count += int(fields[2]) == group and fields[0] != "Z"
    return count
