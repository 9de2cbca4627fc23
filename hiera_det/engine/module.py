"""A model in training as a LightningModule: losses, optimizer, exact reproducibility, what a checkpoint keeps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import lightning as L
import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from hiera_det.engine.optim import build_lr_scheduler, build_optimizer, clip_gradients

__all__ = ["TrainingModule", "seed_step"]

PREFIX = "model."  # the model inside the LightningModule


class TrainingModule(L.LightningModule):
    """A model in training; what it computes is for subclasses to say.

    The random numbers of a training step depend on (seed, iteration, micro-batch, rank) alone, so that a resumed run
    repeats an uninterrupted one.

    Args:
        model: what is trained.
        cfg: a config with the nodes ``SOLVER`` and ``MODEL.HIERA``.
        seed: of the run; a resumed run takes over the checkpoint's.

    Attributes:
        losses: of the last optimizer step, total first: means over its micro-batches and the ranks.
        learning_rate: that the last optimizer step took; of several, the highest (the base rate under layer decay).
        interrupted: a SIGTERM came to this process.
        interrupted_anywhere: a SIGTERM came to some rank before the last optimizer step.
    """

    def __init__(self, model: nn.Module, cfg: CfgNode, seed: int) -> None:
        super().__init__()
        self.model = model
        self.cfg = cfg
        self.seed = seed
        self.losses: dict[str, float] = {}
        self.learning_rate = 0.0
        self.interrupted = False
        self.interrupted_anywhere = False
        self._micro_losses: list[Tensor] = []
        self._ids: list[Any] = []

    # --- for subclasses

    def compute_losses(self, batch: Any) -> dict[str, Tensor]:
        """The losses of a batch, by name; their sum is what is minimised."""
        raise NotImplementedError

    def batch_ids(self, batch: Any) -> list[Any]:
        """What a message names the samples of a batch by."""
        raise NotImplementedError

    def to_file(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The model's state dict as checkpoints have it."""
        return state

    def from_file(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The reverse of :meth:`to_file`.

        Raises:
            ValueError: it is of another model.
        """
        return state

    def notes(self) -> dict[str, Any]:
        """What else a checkpoint keeps."""
        return {}

    def check_notes(self, checkpoint: dict[str, Any]) -> None:
        """Compare what a checkpoint keeps with this run.

        Raises:
            ValueError: it does not fit.
        """

    # --- training

    def setup(self, stage: str) -> None:
        """Every rank takes rank 0's seed: the stream of training images must be one."""
        self.seed = self.trainer.strategy.broadcast(self.seed)

    def configure_optimizers(self) -> Any:
        """Optimizer and schedule of the config, which a loaded state does not change."""
        optimizer = build_optimizer(self.cfg, self.model)
        optimizer.register_load_state_dict_pre_hook(_keep_options)
        scheduler = build_lr_scheduler(self.cfg, optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_start(self) -> None:
        """Take up the config's learning rate at the iteration to come: an earlier run's may have been another."""
        scheduler: Any = self.lr_schedulers()
        for group, base_lr, factor in zip(
            scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
        ):
            group["lr"] = base_lr * factor(scheduler.last_epoch)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed torch for this micro-batch."""
        micro_batch = batch_idx % self.trainer.accumulate_grad_batches
        seed_step(self.seed, self.trainer.global_step, micro_batch, self.trainer.global_rank)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Forward pass; the sum of the losses."""
        self._ids += self.batch_ids(batch)
        try:
            losses = self.compute_losses(batch)
        except FloatingPointError as error:
            raise FloatingPointError(f"{error}; {self._where()}") from error
        total = sum(losses.values(), start=torch.zeros((), device=self.device))
        self.losses = dict.fromkeys(["total_loss", *losses], math.nan)  # names; the values follow once per step
        self._micro_losses.append(torch.stack([total, *losses.values()]).detach().float())
        return total

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Bring the step's losses to the CPU together, and stop if they are not finite.

        Raises:
            FloatingPointError: with the iteration, the losses and the samples.
        """
        means = torch.stack(self._micro_losses).mean(dim=0)
        flag = torch.full_like(means[:1], float(self.interrupted))
        values = self.trainer.strategy.reduce(torch.cat([means, flag]), reduce_op="mean").tolist()
        self.losses = dict(zip(self.losses, values, strict=False))
        self.interrupted_anywhere = values[-1] > 0
        if not all(math.isfinite(value) for value in values):
            self._raise_not_finite()
        self._micro_losses.clear()
        self._ids.clear()
        self.learning_rate = max(group["lr"] for group in optimizer.param_groups)

    def _raise_not_finite(self) -> None:
        if self.trainer.world_size > 1:  # the losses are reduced: all ranks are here
            shares: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(shares, self._ids)
            self._ids = [name for share in shares for name in share]
        losses = ", ".join(f"{name} = {value:.4g}" for name, value in self.losses.items())
        raise FloatingPointError(f"the loss is not finite: {losses}; {self._where()}")

    def _where(self) -> str:
        return (
            f"iteration {self.trainer.global_step}, samples of the batch: {self._ids}. Nothing of this"
            " iteration is saved. Check these samples' annotations, lower SOLVER.BASE_LR or enable"
            " SOLVER.CLIP_GRADIENTS, then continue from the last checkpoint with --resume"
        )

    def configure_gradient_clipping(
        self, optimizer: torch.optim.Optimizer, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clip as ``SOLVER.CLIP_GRADIENTS`` says."""
        clip_gradients(self.cfg, (p for group in optimizer.param_groups for p in group["params"]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Weights under the names of files, and what else is kept."""
        state = checkpoint.pop("state_dict")
        checkpoint["model"] = self.to_file({key.removeprefix(PREFIX): value for key, value in state.items()})
        checkpoint["iteration"] = self.trainer.global_step - 1
        checkpoint["seed"] = self.seed
        checkpoint.update(self.notes())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The reverse; learning rates stay the config's, and batches are recounted for ``accumulate_grad_batches``.

        Raises:
            ValueError: the checkpoint is of another model, another optimizer or other classes.
        """
        self.check_notes(checkpoint)
        state = self.from_file(checkpoint.pop("model"))
        checkpoint["state_dict"] = {PREFIX + key: value for key, value in state.items()}
        _check_optimizer(self.cfg, checkpoint["optimizer_states"][0]["param_groups"])
        checkpoint["lr_schedulers"][0].pop("base_lrs")
        self.seed = checkpoint["seed"]
        batches = (checkpoint["iteration"] + 1) * self.trainer.accumulate_grad_batches
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for count in (progress["total"], progress["current"]):
            count.update(ready=batches, started=batches, processed=batches, completed=batches - 1)


def seed_step(*entropy: int) -> None:
    """Seed torch, on every device, by a few non-negative integers."""
    torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1)))


def _check_optimizer(cfg: CfgNode, saved_groups: Iterable[dict[str, Any]]) -> None:
    saved = "ADAMW" if all("betas" in group for group in saved_groups) else "SGD"
    if saved != cfg.SOLVER.OPTIMIZER:
        raise ValueError(
            f"the checkpoint was written with SOLVER.OPTIMIZER {saved}, but the config says {cfg.SOLVER.OPTIMIZER};"
            " resume with the former, or start anew from its weights with MODEL.WEIGHTS and without --resume"
        )


def _keep_options(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """What is loaded into an optimizer: the saved moments with the optimizer's own rates, decays and other options."""
    saved, groups = state["param_groups"], optimizer.param_groups
    sizes = [[len(group["params"]) for group in it] for it in (saved, groups)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"the checkpoint's optimizer has groups of {sizes[0]} parameters, the config's has {sizes[1]}: parameters"
            " with the same learning rate and weight decay are a group. Resume with the former MODEL.HIERA.LAYER_DECAY,"
            " MODEL.BACKBONE.FREEZE_AT and SOLVER.WEIGHT_DECAY*, or start anew from the weights with MODEL.WEIGHTS"
        )
    kept = [group | {"params": its["params"]} for group, its in zip(groups, saved, strict=True)]
    return state | {"param_groups": kept}
