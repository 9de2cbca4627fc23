"""A trained model that predicts, and that is published as a folder or a repository of the Hugging Face hub."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from safetensors.torch import save
from torch import nn

from hiera_det.config import CfgNode, to_plain
from hiera_det.engine.options import choose_device
from hiera_det.utils.files import atomic_write, write_json
from hiera_det.weights.description import Description
from hiera_det.weights.load import check_same_model, file_state_dict
from hiera_det.weights.trained import TrainedModel, config_of, load_trained, read_trained

__all__ = ["Predictor"]

_CARD = """---
{{ card_data }}
---

# {{ title }}

A model of the Python package hiera_det: {{ kind }} on a
[Hiera](https://arxiv.org/abs/2306.00989) backbone (`{{ variant }}`), for {{ classes | length }} classes:
{{ classes[:100] | join(", ") }}{% if classes | length > 100 %}, …{% endif %}.

```python
import hiera_det

model = hiera_det.load("hf://owner/name")  # this repository, or a folder
```

Trained for {{ iterations }} iterations. Licence of the weights that the training began with: {{ licence }}.
"""


class Predictor(ModelHubMixin, library_name="hiera_det", tags=["hiera", "hiera_det"], model_card_template=_CARD):
    """A trained model that predicts.

    ``save_pretrained(folder)`` writes ``model.safetensors``, ``config.json`` (task, whole config, classes, version) and
    a card; ``push_to_hub("owner/name")`` uploads them; ``from_pretrained`` and ``hiera_det.load`` read them.

    Args:
        trained: what a checkpoint holds.
        cfg: its config.
        device: to compute on, see :func:`~hiera_det.engine.options.choose_device`.

    Attributes:
        model: in evaluation mode, on the device.
        class_names: in the order of the model's outputs.
        category_ids: of the classes in the training set.

    Raises:
        ValueError: the weights are of another model than the config builds, or for another number of classes.
    """

    task: ClassVar[str]
    kind: ClassVar[str]  # for the card
    pipeline: ClassVar[str]  # the hub's word for the kind
    _hub_mixin_config = {}  # noqa: RUF012  # the mixin's own would be built from the constructor's arguments

    def __init__(self, trained: TrainedModel, cfg: CfgNode, device: str = "auto") -> None:
        self.cfg = cfg
        self.class_names, self.category_ids = self._classes(trained)
        self.device = choose_device(device)
        self._check_built(trained)
        model = self._build()
        load_trained(model, trained)
        self.model = model.to(self.device).eval()
        self.description = replace(
            trained.description,
            config=to_plain(cfg),
            class_names=self.class_names,
            category_ids=self.category_ids,
            version=trained.description.version or Description.now().version,
        )

    @staticmethod
    @abstractmethod
    def defaults() -> CfgNode:
        """Give a new config with the defaults of every key of the task."""

    @abstractmethod
    def _classes(self, trained: TrainedModel) -> tuple[list[str], list[int]]:
        """Names and ids of the classes, checked against the config."""

    @abstractmethod
    def _build(self) -> nn.Module:
        """The model of the config, with fresh weights."""

    def _check_built(self, trained: TrainedModel) -> None:
        """Compare names and shapes with the weights before any memory is taken: the config may be anybody's.

        Raises:
            ValueError: the config describes no model, or another than the weights are of.
        """
        try:
            with torch.device("meta"):
                described = file_state_dict(self._build())
        except ValueError:
            raise
        except (TypeError, RuntimeError, ArithmeticError, LookupError, AttributeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"{trained.source}: its config describes no model that can be built ({reason})") from error
        check_same_model(trained.state, described, trained.source)

    @classmethod
    def from_trained(
        cls,
        trained: TrainedModel,
        *,
        config: str | Path | None = None,
        overrides: Sequence[Any] = (),
        device: str = "auto",
    ) -> Self:
        """Build the predictor of what a checkpoint holds.

        Args:
            trained: what it holds.
            config: a YAML file in place of the checkpoint's own config.
            overrides: alternating keys and values.
            device: see :class:`Predictor`.

        Raises:
            FileNotFoundError, ValueError: as of :func:`~hiera_det.weights.trained.config_of` and :class:`Predictor`.
        """
        if trained.task != cls.task:
            raise ValueError(f"{trained.source} is of a model for {trained.task}, expected {cls.task}")
        return cls(trained, config_of(trained, cls.defaults(), config, overrides), device)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | Path, *, revision: str | None = None, device: str = "auto"
    ) -> Self:
        """Read what :meth:`save_pretrained` or :meth:`push_to_hub` wrote; the hub's offline mode is obeyed.

        Args:
            pretrained_model_name_or_path: a folder, or "owner/name" on the hub.
            revision: of the repository: a branch, tag or commit.
            device: see :class:`Predictor`.

        Raises:
            FileNotFoundError: there is no such folder or repository, or it is not cached and cannot be reached.
            ValueError: it is no whole model of this task.
        """
        source = str(pretrained_model_name_or_path)
        if not Path(source).exists():
            source = f"hf://{source}" + (f"@{revision}" if revision else "")
        return cls.from_trained(read_trained(source), device=device)

    def _save_pretrained(self, save_directory: Path) -> None:
        state = {key: value.detach().cpu().contiguous() for key, value in file_state_dict(self.model).items()}
        with atomic_write(save_directory / SAFETENSORS_SINGLE_FILE) as temporary:
            temporary.write_bytes(save(state, {"format": "pt"}))  # `save_file`'s files are for the owner's eyes alone
        write_json(save_directory / CONFIG_NAME, self.description.to_plain())

    def generate_model_card(self, *, license: str | None = None, **arguments: Any) -> ModelCard:
        """The card, ``README.md`` of the folder.

        Args:
            license: of the weights, such as "apache-2.0"; None: that of the weights that the training began with.
            arguments: further ones of the template.
        """
        data = copy.deepcopy(self._hub_mixin_info.model_card_data)
        data.pipeline_tag = self.pipeline
        licence = self.description.licence
        if license is None and licence in ("CC-BY-NC-4.0", "Apache-2.0"):
            license = licence.lower()
        data.license = license
        iteration = self.description.iteration
        content = {
            "title": self.cfg.MODEL.HIERA.NAME,
            "kind": self.kind,
            "variant": self.cfg.MODEL.HIERA.NAME,
            "classes": [" ".join(name.split()) for name in self.class_names],
            "iterations": "an unknown number of" if iteration is None else iteration + 1,
            "licence": licence or "none was noted (trained from scratch, or by another program)",
        }
        return ModelCard.from_template(data, template_str=_CARD, **content, **arguments)
