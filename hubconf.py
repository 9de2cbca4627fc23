"""Entry points of torch.hub: the variants, with the original's names and arguments.

torch.hub.load("path/to/this/checkout", "hiera_base_224", source="local", pretrained=True)
"""

from typing import Any as _Any

from hiera_det.hiera.variants import MAE_VARIANTS as _MAE_VARIANTS
from hiera_det.hiera.variants import VARIANTS as _VARIANTS
from hiera_det.weights.zoo import checkpoints_of as _checkpoints_of

dependencies = ["torch", "torchvision", "filelock", "huggingface_hub", "numpy", "safetensors", "tqdm"]

_DOC = """{name}, {kind}.

    Args:
        pretrained: load published weights.
        checkpoint: which of them: {checkpoints}; None: the first.
        strict: False admits missing and unexpected tensors.
        arguments: those of `hiera_det.{model}`.
    """


def _entry(name: str) -> _Any:
    def build(pretrained: bool = False, checkpoint: str | None = None, strict: bool = True, **arguments: _Any) -> _Any:
        from hiera_det.hiera.model import build_hiera
        from hiera_det.weights.build import pretrained_hiera  # torch.hub first looks for the dependencies

        if not pretrained:
            return build_hiera(name, **arguments)
        return pretrained_hiera(name, checkpoint, strict=strict, **arguments)

    is_mae = name in _MAE_VARIANTS
    kind, model = ("the masked autoencoder", "MaskedAutoencoderHiera") if is_mae else ("the classifier", "Hiera")
    checkpoints = ", ".join(_checkpoints_of(name))
    build.__name__, build.__doc__ = name, _DOC.format(name=name, kind=kind, model=model, checkpoints=checkpoints)
    return build


globals().update({name: _entry(name) for name in _VARIANTS | _MAE_VARIANTS})
