"""Hiera, the classifier (arXiv 2306.00989), image and video in one class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from huggingface_hub import ModelCard
from torch import Tensor, nn

from hiera_det.hiera.encoder import HieraEncoder, init_weights, resolve_norm
from hiera_det.hiera.mae import MaskedAutoencoderHiera
from hiera_det.hiera.publishing import Publishable
from hiera_det.hiera.variants import MAE_VARIANTS, variant_arguments

__all__ = ["Hiera", "build_hiera"]


class Head(nn.Module):
    """Dropout and a linear classifier; in evaluation mode also a softmax, as in the original."""

    def __init__(self, dim: int, num_classes: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim) to (B, num_classes): logits in training, probabilities in evaluation."""
        x = self.projection(self.dropout(x))
        return x if self.training else x.softmax(dim=-1)


class Hiera(HieraEncoder, Publishable):
    """Hiera with its classification head; state-dict keys are the original's.

    ``Hiera.from_pretrained("facebook/hiera_base_224.mae_in1k_ft_in1k")`` reads what the original has published, and the
    original reads what ``save_pretrained`` writes; see :class:`~hiera_det.hiera.publishing.Publishable`.

    Args:
        num_classes: outputs of the classifier.
        head_dropout: dropout before the classifier.
        head_init_scale: factor on the initial weights of the classifier.
        encoder_arguments: those of `HieraEncoder`.
    """

    def __init__(
        self,
        input_size: tuple[int, ...] = (224, 224),
        *,
        num_classes: int = 1000,
        head_dropout: float = 0.0,
        head_init_scale: float = 0.001,
        norm_layer: str | Callable[[int], nn.Module] = "LayerNorm",
        **encoder_arguments: Any,
    ):
        super().__init__(input_size, norm_layer=norm_layer, **encoder_arguments)
        self.norm = resolve_norm(norm_layer)(self.stage_dims[-1])
        init_weights(self.norm)
        self.head = Head(self.stage_dims[-1], num_classes, head_dropout)
        nn.init.trunc_normal_(self.head.projection.weight, std=0.02 * head_init_scale)
        nn.init.constant_(self.head.projection.bias, 0.02 * head_init_scale)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, return_intermediates: bool = False
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Classify, as the original's `forward`.

        Args:
            x: images (B, 3, H, W) or clips (B, 3, T, H, W), normalised; any H and W; the temporal stride divides T.
            mask: (B, #mask units) bool, True = keep, as many in each row.
            return_intermediates: also return the stage maps, taken before the final norm.

        Returns:
            (B, num_classes): logits in training mode, probabilities in evaluation mode; with a mask the tokens that
            were kept (B, N, C), without norm and head. With `return_intermediates` a pair of that and a list with each
            stage's map, channels last: (B, (T,) H, W, C), or with a mask (B, #kept units, *unit, C).

        Raises:
            ValueError: the input's shape or the mask does not fit the model.
        """
        out, maps = self.encode(x, mask, range(len(self.stages)) if return_intermediates else ())
        if mask is None:
            out = self.head(self.norm(out.mean(dim=1)))
        return (out, [maps[i] for i in range(len(self.stages))]) if return_intermediates else out

    def generate_model_card(self, **arguments: Any) -> ModelCard:
        """The card of :class:`~hiera_det.hiera.publishing.Publishable`, with the task."""
        card = super().generate_model_card(**arguments)
        card.data["pipeline_tag"] = f"{'image' if len(self.patch_stride) == 2 else 'video'}-classification"
        return card


def build_hiera(name: str, **overrides: Any) -> Hiera | MaskedAutoencoderHiera:
    """Build a variant: `build_hiera("hiera_base_224", num_classes=10)`.

    Args:
        name: the original's: "hiera_tiny_224" … "hiera_huge_16x224", a name of `hiera_det.hiera.variants.VARIANTS`; or
            "mae_hiera_tiny_224" … for the masked autoencoder.
        overrides: arguments of the model that take the place of the variant's.

    Raises:
        ValueError: there is no such variant, or arguments that do not fit one another.
    """
    arguments = {**variant_arguments(name), **overrides}
    if arguments.get("layout", "released") == "released":
        # Without effect there, and the original would stumble over it in config.json.
        arguments.pop("global_blocks", None)
    return MaskedAutoencoderHiera(**arguments) if name in MAE_VARIANTS else Hiera(**arguments)
