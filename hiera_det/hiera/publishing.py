"""`from_pretrained`, `save_pretrained` and `push_to_hub`, by huggingface_hub's mixin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard, PyTorchModelHubMixin
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from safetensors.torch import save_model

from hiera_det.files import written_aside

if TYPE_CHECKING:
    from typing_extensions import Self

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
    license="cc-by-nc-4.0",
    paper_url="https://arxiv.org/abs/2306.00989",
    repo_url="https://github.com/facebookresearch/hiera",
    model_card_template=_CARD,
):
    """A model that is published as a folder: `config.json`, the constructor's arguments; `model.safetensors`; a card.

    ``save_pretrained(folder)`` writes it and ``push_to_hub("owner/name")`` uploads it, with a licence of its own if
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
    def _from_pretrained(cls, *, model_id: str, strict: bool = True, **arguments: Any) -> Self:
        try:
            return super()._from_pretrained(model_id=model_id, strict=strict, **arguments)
        except TypeError as error:  # the constructor's: the folder is another library's
            raise ValueError(
                f"{model_id} does not describe a {cls.__name__} of this package or of the original ({error}). Build the"
                f' model and give it the weights: load_weights(model, "hf://{model_id}"), or a file of a local folder'
            ) from error

    def _save_pretrained(self, save_directory: Path) -> None:
        if self._unwritten:
            raise ValueError(
                f"config.json cannot hold the arguments {', '.join(self._unwritten)} that the model was built with;"
                ' give numbers and names, such as norm_layer="LayerNorm"'
            )
        with written_aside(save_directory / SAFETENSORS_SINGLE_FILE) as aside:
            save_model(self, str(aside))  # type: ignore[arg-type]

    def generate_model_card(self, *, license: str | None = None, **arguments: Any) -> ModelCard:
        """The card, `README.md` of the folder.

        Args:
            license: of the weights, such as "apache-2.0"; None: the original's, "cc-by-nc-4.0".
            arguments: further ones of the template.
        """
        card = super().generate_model_card(model_class=type(self).__name__, **arguments)
        if license is not None:
            card.data["license"] = license
        return card
