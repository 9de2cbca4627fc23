"""`from_pretrained`, `save_pretrained` and `push_to_hub`, by huggingface_hub's mixin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import save
from torch import nn

from hiera_det.utils.files import atomic_write

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Publishable"]

_CARD = """---
{{ card_data }}
---

# {{ model_class }}

A [Hiera]({{ paper_url }}), written by the package hiera_det. Architecture and names of the tensors are those of the
original, {{ repo_url }}; weights that derive from the original's published ones are CC-BY-NC-4.0 as these are.

```python
from hiera_det import {{ model_class }}

model = {{ model_class }}.from_pretrained("owner/name")  # this repository
```
"""


class Publishable(
    PyTorchModelHubMixin,
    library_name="hiera_det",
    tags=["hiera"],
    paper_url="https://arxiv.org/abs/2306.00989",
    repo_url="https://github.com/facebookresearch/hiera",
    model_card_template=_CARD,
):
    """A model that is published as a folder: `config.json`, the constructor's arguments; `model.safetensors`; a card.

    ``save_pretrained(folder)`` writes it and ``push_to_hub("owner/name")`` uploads it; the card names a licence if
    ``model_card_kwargs={"license": "apache-2.0"}`` is given. ``from_pretrained`` reads a folder or a repository of the
    hub; arguments of the model given there take the place of the config's. Tensors that are missing or unknown are an
    error, unless with ``strict=False``.
    """

    _unwritten: list[str]  # arguments that JSON cannot hold

    def __new__(cls, *args: Any, **arguments: Any) -> Self:
        """Note which arguments huggingface_hub leaves out of the config without a word."""
        model = super().__new__(cls, *args, **arguments)
        model._unwritten = [name for name, value in arguments.items() if not cls._is_jsonable(value)]
        return model

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **arguments: Any) -> Self:
        """Read a model, in evaluation mode.

        Args:
            pretrained_model_name_or_path: a folder, or "owner/name" on the hub.
            arguments: huggingface_hub's, ``revision`` for example; ``strict``; those of the model.

        Raises:
            FileNotFoundError: a file of the folder is not there, or the repository is not cached and cannot be reached.
            RuntimeError: tensors are missing, unknown or of another shape.
            ValueError: a file cannot be read or describes another library's model, or the name is none.
        """
        name = str(pretrained_model_name_or_path)
        if Path(name).is_dir():
            _check_folder(Path(name))
        try:
            return super().from_pretrained(name, **arguments)
        except LocalEntryNotFoundError as error:
            revision = f" --revision {arguments['revision']}" if arguments.get("revision") else ""
            raise FileNotFoundError(
                f"{name} is neither in the cache nor can it be fetched ({str(error).splitlines()[0]}). Where there is a"
                f" network: hf download {name} {CONFIG_NAME} {SAFETENSORS_SINGLE_FILE}{revision}"
            ) from error
        except HFValidationError as error:
            raise ValueError(
                f"{name} is no folder that is there; expected one, or owner/name on the hub ({error})"
            ) from error
        except SafetensorError as error:
            raise ValueError(
                f"{SAFETENSORS_SINGLE_FILE} of {name} cannot be read: it is truncated or no such file ({error})"
            ) from error
        except json.JSONDecodeError as error:
            raise ValueError(f"{CONFIG_NAME} of {name} is no JSON file, or a truncated one ({error})") from error

    @classmethod
    def _from_pretrained(cls, *, model_id: str, strict: bool = True, **arguments: Any) -> Self:
        try:
            return super()._from_pretrained(model_id=model_id, strict=strict, **arguments)
        except TypeError as error:  # the constructor's: the folder is another library's
            raise ValueError(
                f"{model_id} does not describe a {cls.__name__} of this package or of the original ({error}). Build the"
                f' model and give it the weights: load_weights(model, "hf://{model_id}"), or a file of a local folder'
            ) from error

    def save_pretrained(
        self, save_directory: str | Path, *, model_card_kwargs: dict[str, Any] | None = None, **arguments: Any
    ) -> str | None:
        """Write the folder; a card that is there stays, but for its licence if another one is given.

        Args:
            save_directory: the folder, which is made.
            model_card_kwargs: those of :meth:`generate_model_card`.
            arguments: huggingface_hub's.

        Returns:
            The URL of the commit with ``push_to_hub=True``.

        Raises:
            ValueError: the config does not describe the model, as `from_pretrained` would build it; nothing is written.
        """
        self._check_config(arguments.get("config") or self._hub_mixin_config)
        url = super().save_pretrained(save_directory, model_card_kwargs=model_card_kwargs, **arguments)
        if licence := (model_card_kwargs or {}).get("license"):
            path = Path(save_directory) / "README.md"
            card = ModelCard.load(path)
            if card.data.license != licence:
                card.data.license = licence
                card.save(path)
        return url

    def _check_config(self, config: Any) -> None:
        if self._unwritten:
            raise ValueError(
                f"config.json cannot hold the arguments {', '.join(self._unwritten)} that the model was built with;"
                ' give numbers and names, such as norm_layer="LayerNorm"'
            )
        with torch.device("meta"):
            described = _shapes(type(self)(**config))
        own = _shapes(self)
        lines = [
            f"{key}: {own.get(key, 'not')} in the model, {described.get(key, 'not')} by its arguments"
            for key in sorted(own.keys() | described.keys())
            if own.get(key) != described.get(key)
        ]
        if lines:
            raise ValueError(
                "the model has been changed since it was built, and config.json would not describe it; build it with"
                " its arguments, such as num_classes, and load its tensors:" + "".join(f"\n  {x}" for x in lines[:40])
            )

    def _save_pretrained(self, save_directory: Path) -> None:
        state = {key: value.contiguous() for key, value in cast(nn.Module, self).state_dict().items()}
        with atomic_write(save_directory / SAFETENSORS_SINGLE_FILE) as temporary:
            temporary.write_bytes(save(state, {"format": "pt"}))  # `save_file`'s files are for the owner's eyes alone

    def generate_model_card(self, *, license: str | None = None, **arguments: Any) -> ModelCard:
        """The card, `README.md` of the folder.

        Args:
            license: of the weights, such as "apache-2.0"; None: the card names none.
            arguments: further ones of the template.
        """
        card = super().generate_model_card(model_class=type(self).__name__, **arguments)
        if license is not None:
            card.data["license"] = license
        return card


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def _check_folder(folder: Path) -> None:
    for name in CONFIG_NAME, SAFETENSORS_SINGLE_FILE:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"folder {folder} has no {name}; expected what save_pretrained writes. For weights alone, build the"
                " model and load_weights(model, FILE)"
            )
