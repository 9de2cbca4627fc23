"""A task's model in training as a LightningModule: optimizer, exact reproducibility, what a checkpoint keeps."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterable, Mapping
from typing import Any

import lightning as L
import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from hiera_det.config import to_plain
from hiera_det.config.resume import check_iterations
from hiera_det.engine.finite import ADVICE, check_finite
from hiera_det.engine.optim import build_lr_scheduler, build_optimizer, clip_gradients
from hiera_det.engine.task import Task
from hiera_det.weights.description import Description
from hiera_det.weights.load import file_state_dict, load_state

__all__ = ["TrainingModule", "seed_step"]


class TrainingModule(L.LightningModule):
    """A model in training or evaluation; what it computes is the task's.

    Lightning resumes weights, optimizer and counters, but neither random numbers nor the order of the data: exact
    resume is ours. The random numbers of a training step depend on (seed, iteration, micro-batch, rank) alone, so that
    a resumed run repeats an uninterrupted one. All micro-batches of an optimizer step are one batch for Lightning, so
    that a resumed run may split its items otherwise.

    Args:
        task: what is trained.
        model: of :meth:`Task.build_model`.
        seed: of the run; a resumed run takes over the checkpoint's.
        licence: of the weights that the training begins with; None: it begins with none. As the seed on resume.

    Attributes:
        losses: of the last optimizer step, total first: means over its micro-batches and the ranks.
        learning_rate: that the last optimizer step took; of several, the highest (the base rate under layer decay).
        interrupted: the number of the signal that asked this process to stop; 0: none did.
        interrupted_anywhere: some rank was asked to before the last optimizer step, or in an evaluation behind it.
    """

    def __init__(self, task: Task, model: nn.Module, seed: int, licence: str | None = None) -> None:
        super().__init__()
        self.task = task
        self.model = model
        self.seed = seed
        self.licence = licence
        self.losses: dict[str, float] = {}
        self.learning_rate = 0.0
        self.interrupted = 0
        self.interrupted_anywhere = False
        self._micro_losses: list[Tensor] = []
        self._names: list[Any] = []

    @property
    def stopped_by(self) -> signal.Signals:
        """The signal that the run ends by: this process' own, or where only another's came, a SIGTERM."""
        return signal.Signals(self.interrupted or signal.SIGTERM)

    def setup(self, stage: str) -> None:
        """Take rank 0's seed on every rank: the stream of training items must be one."""
        self.seed = self.trainer.strategy.broadcast(self.seed)

    def configure_optimizers(self) -> Any:
        """Build optimizer and schedule of the config, which a loaded state does not change."""
        optimizer = build_optimizer(self.task.cfg, self.model)
        optimizer.register_load_state_dict_pre_hook(_keep_options)
        scheduler = build_lr_scheduler(self.task.cfg, optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_start(self) -> None:
        """Take up the config's learning rate at the iteration to come: an earlier run's may have been another."""
        scheduler: Any = self.lr_schedulers()
        for group, base_lr, factor in zip(
            scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
        ):
            group["lr"] = base_lr * factor(scheduler.last_epoch)

    # --- a step

    def training_step(self, micro_batches: list[Any], batch_idx: int) -> Tensor:
        """Compute gradients of all micro-batches but the last, whose loss Lightning takes the gradients of."""
        self.optimizers().zero_grad()  # type: ignore[union-attr]
        self._micro_losses, self._names = [], []
        for number, micro_batch in enumerate(micro_batches):
            seed_step(self.seed, self.trainer.global_step, number, self.trainer.global_rank)
            loss = self._loss(self.task.to_device(micro_batch, self.device)) / len(micro_batches)
            if number < len(micro_batches) - 1:
                # DDP expects no gradients within its forward pass: these stay on their rank, and add up.
                with torch.autocast(self.device.type, enabled=False):
                    self.trainer.strategy.backward(loss, None)
        return loss

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        """Leave the gradients: the step has some already, and begins with none."""

    def _loss(self, batch: Any) -> Tensor:
        """The sum of the losses of a micro-batch."""
        self._names += self.task.names_of(batch)
        try:
            losses = self.task.losses(self.model, batch)
        except FloatingPointError as error:
            raise FloatingPointError(f"{error}; {self._where()}") from error
        total = sum(losses.values(), start=torch.zeros((), device=self.device))
        self.losses = dict.fromkeys(["total_loss", *losses], math.nan)  # names; the values follow once per step
        self._micro_losses.append(torch.stack([total, *losses.values()]).detach().float())
        return total

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Bring the step's losses to the CPU together, and stop if they are not finite.

        Raises:
            FloatingPointError: with the iteration, the losses and the items.
        """
        means = torch.stack(self._micro_losses).mean(dim=0)
        flag = torch.full_like(means[:1], float(self.interrupted > 0))
        values = self.trainer.strategy.reduce(torch.cat([means, flag]), reduce_op="mean").tolist()
        self.losses = dict(zip(self.losses, values, strict=False))
        self.interrupted_anywhere = values[-1] > 0
        if not all(math.isfinite(value) for value in values):
            self._raise_not_finite()
        self.learning_rate = max(group["lr"] for group in optimizer.param_groups)

    def _raise_not_finite(self) -> None:
        if self.trainer.world_size > 1:  # the losses are reduced: all ranks are here
            shares: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(shares, self._names)
            self._names = [name for share in shares for name in share]
        losses = ", ".join(f"{name} = {value:.4g}" for name, value in self.losses.items())
        raise FloatingPointError(f"the loss is not finite: {losses}; {self._where()}")

    def _where(self) -> str:
        return (
            f"iteration {self.trainer.global_step}, samples of the batch: {self._names}. Nothing of this"
            f" iteration is saved. Check these samples' annotations. {ADVICE}"
        )

    def configure_gradient_clipping(
        self, optimizer: torch.optim.Optimizer, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clip as ``SOLVER.CLIP_GRADIENTS`` says."""
        clip_gradients(self.task.cfg, (p for group in optimizer.param_groups for p in group["params"]))

    # --- evaluation

    def validation_step(self, batch: Any, batch_idx: int) -> list[Any]:  # type: ignore[override]
        """Predict in float32, whatever the precision of training; nothing any more once a SIGTERM has come."""
        if self.interrupted:
            return []
        with torch.autocast(self.device.type, enabled=False):
            return self.task.predict(self.model, batch)

    # --- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the weights under the names of files, and what else a resumed run needs.

        Raises:
            FloatingPointError: weights or the optimizer's state are not finite.
        """
        values = {"weights": checkpoint.pop("state_dict"), "optimizer": checkpoint["optimizer_states"]}
        check_finite(values, self.trainer.global_step - 1)
        checkpoint["model"] = file_state_dict(self.model)
        checkpoint["iteration"] = self.trainer.global_step - 1
        checkpoint["seed"] = self.seed
        names, ids = self.task.classes()
        description = Description.now(
            task=self.task.name,
            config=to_plain(self.task.cfg),
            class_names=names,
            category_ids=ids,
            licence=self.licence,
            iteration=checkpoint["iteration"],
        )
        checkpoint.update(description.to_plain())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Load the weights; the seed too, unless the config gives one; learning rates stay the config's.

        Raises:
            ValueError: the checkpoint is of another model, another optimizer or other classes, or is further than the
                run shall go.
        """
        check_iterations(self.task.cfg, checkpoint, "the checkpoint")
        description = Description.from_plain(checkpoint, "the checkpoint")
        self.task.check_classes(description, "the checkpoint", training=True)
        self.licence = description.licence
        load_state(self.model, checkpoint.pop("model"), "the checkpoint")
        checkpoint["state_dict"] = self.state_dict()
        _check_optimizer(self.task.cfg, checkpoint["optimizer_states"][0]["param_groups"])
        checkpoint["lr_schedulers"][0].pop("base_lrs")
        if self.task.cfg.SEED < 0:
            self.seed = checkpoint["seed"]


def seed_step(*entropy: int) -> None:
    """Seed torch, on every device, by a few non-negative integers."""
    torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1)))


def _check_optimizer(cfg: CfgNode, saved_groups: Iterable[Mapping[str, Any]]) -> None:
    saved = "ADAMW" if all("betas" in group for group in saved_groups) else "SGD"
    if saved != cfg.SOLVER.OPTIMIZER:
        raise ValueError(
            f"the checkpoint was written with SOLVER.OPTIMIZER {saved}, but the config says {cfg.SOLVER.OPTIMIZER};"
            " resume with the former, or start anew from its weights with MODEL.WEIGHTS and without --resume"
        )


def _keep_options(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Keep the optimizer's own rates, decays and other options with the saved state."""
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
