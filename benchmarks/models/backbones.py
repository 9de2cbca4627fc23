"""The backbones that are compared, each from its own package.

Backbones with the same function get the same weights, so that their feature maps can be compared before they are timed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.candidate import OURS
from hiera_det.hiera.backbone import HieraBackbone
from hiera_det.hiera.pos_embed import resize, resize_temporal
from hiera_det.hiera.tokens import Size
from hiera_det.hiera.variants import variant_arguments
from hiera_det.weights.formats import HieraWeights
from hiera_det.weights.state_dicts import transformers_state

__all__ = ["BACKBONES", "Backbone", "vitdet_config"]

Forward = Callable[[Tensor], list[Tensor]]
RELEASED: dict[str, Any] = {"layout": "released", "pos_embed": "resize"}
SAM2: dict[str, Any] = {"window_sizes": (8, 4, 14, 7)}


class Backbone(NamedTuple):
    """One implementation.

    Attributes:
        function: backbones with the same word here compute the same function with the same weights.
        package: its package on PyPI.
        build: takes a variant and the input's size, (H, W) or (T, H, W); returns the module, and the function from
            images (B, 3, H, W) or clips (B, 3, T, H, W) to stage maps (B, C, (T,) H, W). A backbone that is not Hiera
            ignores the variant. Raises ModuleNotFoundError where the package is not installed.
        video: whether it takes clips.
    """

    function: str
    package: str
    build: Callable[[str, Size], tuple[nn.Module, Forward]]
    video: bool = False


def vitdet_config(side: int) -> Any:
    """Return detectron2's LazyConfig of ViTDet-B with Mask R-CNN, for images padded to a square of `side` pixels."""
    from detectron2 import model_zoo

    model: Any = model_zoo.get_config("common/models/mask_rcnn_vitdet.py").model
    model.backbone.net.img_size = model.backbone.square_pad = side
    return model


def _our_model(variant: str, overrides: dict[str, Any]) -> HieraBackbone:
    torch.manual_seed(0)
    return HieraBackbone(variant, **overrides)


def _ours(variant: str, size: Size, **overrides: Any) -> tuple[nn.Module, Forward]:
    model = _our_model(variant, overrides)
    return model, lambda x: list(model(x).values())


def _released_state(variant: str, size: Size) -> dict[str, Tensor]:
    """Return the weights of "released" with the position embeddings resized to `size`, which the others need."""
    source = _our_model(variant, RELEASED)
    state = source.state_dict()
    if "pos_embed_temporal" in state:
        temporal = state["pos_embed_temporal"]
        state["pos_embed_temporal"] = resize_temporal(temporal, size[0] // source.patch_stride[0])
    embed = state[source.spatial_name].transpose(1, 2).unflatten(2, source.pos_embed_grid[-2:])  # (1, C, H, W)
    grid = (size[-2] // source.patch_stride[-2], size[-1] // source.patch_stride[-1])
    return {**state, source.spatial_name: resize(embed, grid).flatten(2).transpose(1, 2)}


def _load(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Load all weights but a classifier's last norm and head."""
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or any(not key.startswith(("norm.", "head.")) for key in missing):
        raise RuntimeError(f"the parameters are not those expected: missing {missing}, unknown {unexpected}")


def _original(variant: str, size: Size) -> tuple[nn.Module, Forward]:
    import hiera

    # Not hiera.hiera_base_16x224() and the like, which take no other size.
    arguments = {key: value for key, value in variant_arguments(variant).items() if key != "global_blocks"}
    model = hiera.Hiera(**{**arguments, "input_size": size})
    _load(model, _released_state(variant, size))
    return model, lambda x: [m.movedim(-1, 1) for m in model(x, return_intermediates=True)[1]]


def _timm(variant: str, size: Size) -> tuple[nn.Module, Forward]:
    import timm

    model = timm.create_model(variant, img_size=size, features_only=True)
    model.load_state_dict({f"model.{k}": v for k, v in _released_state(variant, size).items()})
    return model, lambda x: list(model(x))


def _transformers(variant: str, size: Size) -> tuple[nn.Module, Forward]:
    import transformers

    arguments = variant_arguments(variant)
    config = transformers.HieraConfig(
        image_size=list(size),
        embed_dim=arguments["embed_dim"],
        depths=list(arguments["stages"]),
        num_heads=[arguments["num_heads"] * 2**i for i in range(4)],
    )
    # Not transformers' HieraBackbone: 5.23's leaves out the unroll, so its maps are those of another function.
    model = transformers.HieraModel(config, add_pooling_layer=False)
    model.load_state_dict(transformers_state(HieraWeights(_released_state(variant, size), {})))

    def forward(x: Tensor) -> list[Tensor]:
        _, *stages = model(x, output_hidden_states=True).reshaped_hidden_states
        return [m.permute(0, 3, 1, 2) for m in stages]

    return model, forward


def _sam2(variant: str, size: Size) -> tuple[nn.Module, Forward]:
    from timm.models.hieradet_sam2 import HieraDet

    arguments = variant_arguments(variant)
    model = HieraDet(
        embed_dim=arguments["embed_dim"],
        num_heads=arguments["num_heads"],
        stages=arguments["stages"],
        global_att_blocks=arguments["global_blocks"],
        window_spec=SAM2["window_sizes"],
        global_pos_size=(56, 56),
        num_classes=0,
    )
    _load(model, _our_model(variant, SAM2).state_dict())
    return model, lambda x: list(model.forward_intermediates(x, intermediates_only=True))  # type: ignore[arg-type]


def _vitdet(variant: str, size: Size) -> tuple[nn.Module, Forward]:
    """Build ViTDet's ViT-B, which has one map, of stride 16; its pyramid makes the others."""
    from detectron2.config import instantiate

    config = vitdet_config(size[0]).backbone.net
    config.drop_path_rate = 0.0
    model = instantiate(config)
    return model, lambda x: list(model(x).values())


def _resnet50(variant: str, size: Size) -> tuple[nn.Module, Forward]:
    from torchvision.models import resnet50
    from torchvision.models.feature_extraction import create_feature_extractor

    model = create_feature_extractor(resnet50(), ["layer1", "layer2", "layer3", "layer4"])
    return model, lambda x: list(model(x).values())


BACKBONES = {
    "released": Backbone("released", OURS, partial(_ours, **RELEASED), video=True),
    "windowed": Backbone("windowed 8,4,16,8", OURS, _ours, video=True),
    "windowed-sam2": Backbone("windowed 8,4,14,7", OURS, partial(_ours, **SAM2), video=True),
    "original": Backbone("released", "hiera-transformer", _original, video=True),
    "timm": Backbone("released", "timm", _timm),
    "transformers": Backbone("released", "transformers", _transformers),
    "sam2": Backbone("windowed 8,4,14,7", "timm", _sam2),
    "detectron2-vitdet": Backbone("ViT-B", "detectron2", _vitdet),
    "torchvision-resnet50": Backbone("ResNet-50", "torchvision", _resnet50),
}
