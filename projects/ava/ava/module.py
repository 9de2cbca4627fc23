"""The action detector as a LightningModule."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from hiera_det.engine.module import TrainingModule

__all__ = ["ActionModule"]


class ActionModule(TrainingModule):
    """An action detector in training; checkpoints hold ``class_names`` and ``class_ids``."""

    def compute_losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Binary cross-entropy: the mean over actions and the persons of all ranks, 0 where there is no person.

        Ranks have more or fewer persons; as in DETR (``num_boxes``), each divides by the mean of their numbers, so
        that DDP's mean of the gradients is that of one process with all clips.
        """
        logits = self.model(batch["clips"], batch["boxes"])  # (R, K)
        persons = self.trainer.strategy.reduce(logits.new_tensor(len(logits)), reduce_op="mean")
        total = F.binary_cross_entropy_with_logits(logits, batch["labels"], reduction="sum")
        return {"loss_bce": total / logits.shape[1] / persons.clamp(min=1 / self.trainer.world_size)}

    def batch_ids(self, batch: dict[str, Any]) -> list[str]:
        """Video and second."""
        dataset = self.trainer.datamodule.train_dataset  # type: ignore[attr-defined]
        keyframes = [dataset.keyframe(index) for index in batch["index"]]
        return [f"{keyframe.video} at {keyframe.second:g} s" for keyframe in keyframes]

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> list[Tensor]:  # type: ignore[override]
        """Probabilities (N, K) of the persons of each clip; none any more once a SIGTERM has come."""
        if self.interrupted or "boxes" not in batch:
            return []
        probabilities = self.model(batch["clips"], batch["boxes"]).sigmoid()
        return list(probabilities.split([len(boxes) for boxes in batch["boxes"]]))

    def notes(self) -> dict[str, Any]:
        """The label map."""
        label_map = self.trainer.datamodule.label_map  # type: ignore[attr-defined]
        return {"class_names": list(label_map.values()), "class_ids": list(label_map)}

    def check_notes(self, checkpoint: dict[str, Any]) -> None:
        """The checkpoint's label map is the run's.

        Raises:
            ValueError: it is not.
        """
        label_map = self.trainer.datamodule.label_map  # type: ignore[attr-defined]
        check_label_map(checkpoint, label_map)


def check_label_map(checkpoint: dict[str, Any], label_map: dict[int, str]) -> None:
    """Compare the actions of a checkpoint with a label map.

    Raises:
        ValueError: they differ, or the checkpoint names none.
    """
    if checkpoint.get("class_names") != list(label_map.values()) or checkpoint.get("class_ids") != list(label_map):
        names = checkpoint.get("class_names")
        raise ValueError(
            f"the checkpoint has {len(names) if names else 'no'} actions ({', '.join((names or [])[:3])}, ...), the"
            f" label map {len(label_map)} ({', '.join(list(label_map.values())[:3])}, ...): name the label map that it"
            " was trained with, DATASETS.LABEL_MAP"
        )
