"""The runs that are killed, each in miniature, and how each is begun and gone on with."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.material import Material
from tests.faults.warm import command

__all__ = ["Job", "jobs", "ranks"]


@dataclass(frozen=True)
class Job:
    """A command that writes much.

    Attributes:
        name: of the task.
        words: of the command; its output is in ``out``.
        again: of the command that goes on; None: the same words.
        processes: started together as torchrun does.
    """

    name: str
    words: tuple[str, ...]
    again: tuple[str, ...] | None = None
    processes: int = 1

    @property
    def begin(self) -> Callable[[], None]:
        """The command."""
        return ranks(self.words, self.processes) if self.processes > 1 else command(self.words)

    @property
    def go_on(self) -> Callable[[], None]:
        """The command that goes on."""
        words = self.again or self.words
        return ranks(words, self.processes) if self.processes > 1 else command(words)


def jobs(good: Material) -> list[Job]:
    """All of them; each takes seconds."""
    keys = (
        "SOLVER.MAX_ITER",
        "5",
        "SOLVER.CHECKPOINT_PERIOD",
        "2",
        "TEST.EVAL_PERIOD",
        "2",
        "SOLVER.WARMUP_ITERS",
        "1",
    )
    output = ("OUTPUT_DIR", "out")
    detection = ("train", "--backend", "torchvision", "--config", str(good.detection_config))
    detection += (*good.shapes_words("train", "val"), *keys, "SOLVER.STEPS", "[]", "VIS_PERIOD", "2", *output)
    workers = (*detection, "DATALOADER.NUM_WORKERS", "2")
    actions = ("train", "--config", str(good.actions_config), *keys, *output)
    pretraining = ("pretrain", "--config", str(good.pretraining_config), *keys, *output)
    extract = ("extract", "--config", str(good.features_config), "--input", str(good.pictures), "--output", "out")
    weights = ("--weights", str(good.detection_run))
    predict = ("predict", *weights, "--input", str(good.shapes / "train"), "--output", "out")
    evaluate = ("evaluate", "--backend", "torchvision", *weights, *good.shapes_words("val"), "--output", "out")
    return [
        Job("detection", detection, (*detection, "--resume")),
        Job("detection, 2 workers", workers, (*workers, "--resume")),
        Job("actions", actions, (*actions, "--resume")),
        Job("pretraining", pretraining, (*pretraining, "--resume")),
        Job("extraction", extract),
        Job("extraction, 2 workers", (*extract, "DATALOADER.NUM_WORKERS", "2")),
        Job("extraction, 2 ranks", extract, processes=2),
        Job("prediction", predict),
        Job("prediction of a video", (*predict[:4], str(good.short_video), *predict[5:])),
        Job("evaluation", evaluate),
        Job("generation", ("make-shapes", "--output", "out/shapes", "--num-train", "8", "--num-val", "4")),
    ]


def ranks(words: Sequence[str], count: int) -> Callable[[], None]:
    """The command in several processes, as torchrun starts them; the first that fails ends the others."""

    def work() -> None:
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        children = {}
        for rank in range(count):
            pid = os.fork()
            if not pid:
                _be(rank, count, port, words)
            children[pid] = rank
        code = 0
        while children:
            pid, status = os.wait()
            children.pop(pid, None)
            if status and not code:
                code = abs(os.waitstatus_to_exitcode(status)) or 1
                for other in children:
                    os.kill(other, signal.SIGTERM)
        raise SystemExit(code)

    return work


def _be(rank: int, count: int, port: int, words: Sequence[str]) -> None:
    from lightning.pytorch.utilities.rank_zero import rank_zero_only

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_RUN_ID="x", GROUP_RANK="0")
    rank_zero_only.rank = rank
    code = 1
    try:
        command(words)()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
