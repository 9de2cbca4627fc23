"""The trunks that are compared: ours, and what a user would take instead, each from its own package.

Trunks of one function are given the same weights, so that their maps can be compared before they are timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.contender import OURS
from hiera_det.hiera.backbone import HieraBackbone
from hiera_det.hiera.pos_embed import resize, resize_temporal
from hiera_det.hiera.tokens import Size
from hiera_det.hiera.variants import variant_arguments
from hiera_det.weights.formats import HieraWeights
from hiera_det.weights.state_dicts import transformers_state

__all__ = ["TRUNKS", "Trunk"]

Run = Callable[[Tensor], list[Tensor]]
SAM2_WINDOWS = (8, 4, 14, 7)


class Trunk(NamedTuple):
    """One implementation.

    Attributes:
        function: trunks with the same word here compute the same function of the same weights.
        package: where it comes from on PyPI.
        build: from a variant and the size of its input, (H, W) or (T, H, W), to the module, and the function from
            images (B, 3, H, W) or clips (B, 3, T, H, W) to stage maps (B, C, (T,) H, W). Trunks that are not Hiera
            stay the same for all variants. Raises ModuleNotFoundError where the package is not installed.
    """

    function: str
    package: str
    build: Callable[[str, Size], tuple[nn.Module, Run]]


def _ours(variant: str, **overrides: object) -> HieraBackbone:
    torch.manual_seed(0)
    return HieraBackbone(variant, **overrides)  # type: ignore[arg-type]


def _ours_released(variant: str, size: Size) -> tuple[nn.Module, Run]:
    model = _ours(variant, layout="released", pos_embed="resize")
    return model, lambda x: list(model(x).values())


def _ours_windowed(variant: str, size: Size) -> tuple[nn.Module, Run]:
    model = _ours(variant)
    return model, lambda x: list(model(x).values())


def _ours_sam2_windows(variant: str, size: Size) -> tuple[nn.Module, Run]:
    model = _ours(variant, window_sizes=SAM2_WINDOWS)
    return model, lambda x: list(model(x).values())


def _released_state(variant: str, size: Size) -> dict[str, Tensor]:
    """The weights of `_ours_released`, with position embeddings already resized, as fixed-size peers need them."""
    source = _ours(variant, layout="released", pos_embed="resize")
    state = source.state_dict()
    if "pos_embed_temporal" in state:
        temporal = state["pos_embed_temporal"]
        state["pos_embed_temporal"] = resize_temporal(temporal, size[0] // source.patch_stride[0])
    embed = state[source.spatial_name].transpose(1, 2).unflatten(2, source.pos_embed_grid[-2:])  # (1, C, H, W)
    grid = (size[-2] // source.patch_stride[-2], size[-1] // source.patch_stride[-1])
    return {**state, source.spatial_name: resize(embed, grid).flatten(2).transpose(1, 2)}


def _load_trunk(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Load all but a classifier's last norm and head."""
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or any(not key.startswith(("norm.", "head.")) for key in missing):
        raise RuntimeError(f"the parameters are not those expected: missing {missing}, unknown {unexpected}")


def _original(variant: str, size: Size) -> tuple[nn.Module, Run]:
    import hiera

    # Not hiera.hiera_base_16x224() and the like, which take no other size.
    arguments = {key: value for key, value in variant_arguments(variant).items() if key != "global_blocks"}
    model = hiera.Hiera(**{**arguments, "input_size": size})
    _load_trunk(model, _released_state(variant, size))
    return model, lambda x: [m.movedim(-1, 1) for m in model(x, return_intermediates=True)[1]]


def _timm(variant: str, size: Size) -> tuple[nn.Module, Run]:
    import timm

    _check_images(variant)
    model = timm.create_model(variant, img_size=size, features_only=True)
    model.load_state_dict({f"model.{k}": v for k, v in _released_state(variant, size).items()})
    return model, lambda x: list(model(x))


def _transformers(variant: str, size: Size) -> tuple[nn.Module, Run]:
    import transformers

    _check_images(variant)
    arguments = variant_arguments(variant)
    heads = [arguments["num_heads"] * 2**i for i in range(4)]
    config = transformers.HieraConfig(
        image_size=list(size),
        embed_dim=arguments["embed_dim"],
        depths=list(arguments["stages"]),
        num_heads=heads,
    )
    # Not transformers' HieraBackbone: that of 5.23 leaves out the unroll, so its maps are those of another function.
    model = transformers.HieraModel(config, add_pooling_layer=False)
    model.load_state_dict(transformers_state(HieraWeights(_released_state(variant, size), {})))

    def run(x: Tensor) -> list[Tensor]:
        _, *stages = model(x, output_hidden_states=True).reshaped_hidden_states
        return [m.permute(0, 3, 1, 2) for m in stages]

    return model, run


def _sam2(variant: str, size: Size) -> tuple[nn.Module, Run]:
    from timm.models.hieradet_sam2 import HieraDet

    _check_images(variant)
    arguments = variant_arguments(variant)
    model = HieraDet(
        embed_dim=arguments["embed_dim"],
        num_heads=arguments["num_heads"],
        stages=arguments["stages"],
        global_att_blocks=arguments["global_blocks"],
        window_spec=SAM2_WINDOWS,
        global_pos_size=(56, 56),
        num_classes=0,
    )
    state = _ours(variant, window_sizes=SAM2_WINDOWS).state_dict()
    _load_trunk(model, state)
    return model, lambda x: list(model.forward_intermediates(x, intermediates_only=True))  # type: ignore[arg-type]


def _vitdet(variant: str, size: Size) -> tuple[nn.Module, Run]:
    """detectron2's ViT-B as in its ViTDet, which has one map, of stride 16; its pyramid makes the others."""
    from detectron2 import model_zoo
    from detectron2.config import instantiate

    _check_images(variant)
    lazy: Any = model_zoo.get_config("common/models/mask_rcnn_vitdet.py").model.backbone.net
    lazy.img_size, lazy.drop_path_rate = size[0], 0.0
    model = instantiate(lazy)
    return model, lambda x: list(model(x).values())


def _resnet50(variant: str, size: Size) -> tuple[nn.Module, Run]:
    from torchvision.models import resnet50
    from torchvision.models.feature_extraction import create_feature_extractor

    _check_images(variant)
    model = create_feature_extractor(resnet50(), ["layer1", "layer2", "layer3", "layer4"])
    return model, lambda x: list(model(x).values())


def _check_images(variant: str) -> None:
    if "input_size" in variant_arguments(variant):
        raise ValueError("it has no video")


TRUNKS: dict[str, Trunk] = {
    "released": Trunk("released", OURS, _ours_released),
    "windowed": Trunk("windowed 8,4,16,8", OURS, _ours_windowed),
    "windowed-sam2": Trunk("windowed 8,4,14,7", OURS, _ours_sam2_windows),
    "original": Trunk("released", "hiera-transformer", _original),
    "timm": Trunk("released", "timm", _timm),
    "transformers": Trunk("released", "transformers", _transformers),
    "sam2": Trunk("windowed 8,4,14,7", "timm", _sam2),
    "detectron2-vitdet": Trunk("ViT-B", "detectron2", _vitdet),
    "torchvision-resnet50": Trunk("ResNet-50", "torchvision", _resnet50),
}
