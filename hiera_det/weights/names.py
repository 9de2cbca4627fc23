"""Other packages' names of Hiera's tensors beside the original's; transformers counts blocks by stage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

__all__ = [
    "SAM2",
    "SAM2_NECK",
    "SAM2_PARTS",
    "SAM2_TRANSFORMERS",
    "TIMM",
    "TRANSFORMERS",
    "TRANSFORMERS_DECODER",
    "by_stage",
    "numbered_through",
    "renamed",
]

Names = tuple[tuple[str, str], ...]  # (theirs, the original's): a whole name, its beginning ("a."), or a part (".a.")

TIMM: Names = (("head.norm.", "norm."), ("head.fc.", "head.projection."), ("pos_embed_win", "pos_embed_window"))
SAM2: Names = ((".mlp.layers.0.", ".mlp.fc1."), (".mlp.layers.1.", ".mlp.fc2."))
SAM2_TRANSFORMERS: Names = (
    ("patch_embed.projection.", "patch_embed.proj."),
    (".layer_norm1.", ".norm1."),
    (".layer_norm2.", ".norm2."),
    (".mlp.proj_in.", ".mlp.fc1."),
    (".mlp.proj_out.", ".mlp.fc2."),
)
# Beside the trunk, in SAM 2's own files and in transformers': the neck's convolutions, and how other names begin.
SAM2_NECK = re.compile(r"(?:image|vision)_encoder\.neck\.convs\.([0-3])\.(?:conv\.)?(weight|bias)")
SAM2_PARTS: dict[str, tuple[str, ...]] = {
    "the prompt encoder": ("sam_prompt_encoder.", "prompt_encoder.", "shared_image_embedding."),
    "the mask decoder": ("sam_mask_decoder.", "mask_decoder."),
    "the memory": (
        *("memory_", "maskmem_", "no_mem", "mask_downsample.", "temporal_positional_"),
        *("no_obj", "obj_ptr_", "object_pointer_", "occlusion_"),
    ),
}
TRANSFORMERS: Names = (
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    (".layernorm_before.", ".norm1."),
    (".layernorm_after.", ".norm2."),
    ("pooler.layernorm.", "norm."),
    *((f"hidden_states_norms.stage{stage}.", f"norm_res{stage + 1}.") for stage in (1, 2, 3, 4)),
)
# Of a masked autoencoder; names within its blocks are those above.
TRANSFORMERS_DECODER: Names = (
    ("multiscale_fusion.multi_scale_fusion_heads.", "multi_scale_fusion_heads."),
    ("decoder.mask_token", "mask_token"),
    ("decoder.decoder_embeddings.", "decoder_embed."),
    ("decoder.decoder_position_embeddings", "decoder_pos_embed"),
    ("decoder.decoder_block.layers.", "decoder_blocks."),
    ("decoder.decoder_norm.", "decoder_norm."),
    ("decoder.decoder_pred.", "decoder_pred."),
)


def renamed(state: Mapping[str, Tensor], names: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """The state dict with the first name of each pair replaced by the second."""
    names = tuple(names)
    return {_renamed(key, names): value for key, value in state.items()}


def _renamed(key: str, names: Iterable[tuple[str, str]]) -> str:
    for old, new in names:
        if old.startswith(".") and old in key:
            return key.replace(old, new)
        if key == old or (old.endswith(".") and key.startswith(old)):
            return new + key.removeprefix(old)
    return key


def numbered_through(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``encoder.stages.S.layers.L`` of transformers as ``blocks.B``."""
    place = re.compile(r"^encoder\.stages\.(\d+)\.layers\.(\d+)(?=\.)")
    places = sorted({(int(stage), int(layer)) for key in state for stage, layer in place.findall(key)})

    def number(match: re.Match[str]) -> str:
        return f"blocks.{places.index((int(match[1]), int(match[2])))}"

    return {place.sub(number, key): value for key, value in state.items()}


def by_stage(state: Mapping[str, Tensor], stages: Iterable[int]) -> dict[str, Tensor]:
    """``blocks.B`` as ``encoder.stages.S.layers.L`` of transformers.

    Args:
        state: under the original's names.
        stages: blocks by stage.
    """
    places = [f"encoder.stages.{stage}.layers.{layer}" for stage, n in enumerate(stages) for layer in range(n)]
    return {re.sub(r"^blocks\.(\d+)", lambda match: places[int(match[1])], key): value for key, value in state.items()}
