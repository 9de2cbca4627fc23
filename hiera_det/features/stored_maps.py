"""Maps of a store in the place of those that a frozen backbone would compute, run after run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fvcore.common.config import CfgNode
from torch import Tensor

from hiera_det.features.config import backbone_keys
from hiera_det.features.store.reader import FeatureStore

__all__ = ["StoredMaps"]

_ALL_STAGES = 5  # MODEL.BACKBONE.FREEZE_AT that freezes a backbone of four stages
# How far a stored map may be from a computed one, as a share of the root mean square: rounding, TF32.
_TOLERANCE = {"fp32": 0.005, "fp16": 0.01, "bf16": 0.05}
_NAMED = 5  # ids that a message names


class StoredMaps:
    """A store of which a run reads what its backbone would compute.

    What the store was made with is compared with the run's config when it is opened: all of ``MODEL.HIERA`` that
    changes a frozen backbone's output, the pixels' mean and standard deviation, what ``inputs`` says of reading and
    resizing, and that the maps are there. Norms of the maps (``MODEL.HIERA.NORM``) are trained even on a frozen
    backbone, so a store is made without them, and the run applies its own.

    Weights are not compared by their file: a run resumes, or evaluates a trained head, from another file than the
    store was made from. :meth:`compare` does it, which a run calls with one item before it reads any other: a backbone
    with other weights, or pixels that were prepared otherwise, give other maps.

    A map has the cells that show its image and no more. In a batch of several sizes the cells beyond an image are
    zeros; a run without a store computes them from its padding, and, where ``MODEL.HIERA.SQUARE_PAD`` is 0, pads each
    image to the largest of the batch, which the backbone's attention sees. With a square, or images of one size, that
    is all of the difference.

    Args:
        key: of the config, that names the store: "DATASETS.TRAIN_FEATURES", or of the test set.
        cfg: of the run.
        stages: the maps that it needs.
        inputs: the store's keys of ``INPUT`` that matter, with the values that fit the run.
        needed: keys of the run and the values without which stored maps would be wrong: augmentation that is off.

    Attributes:
        failed: of each item that could not be read when the store was made, the reason.

    Raises:
        FileNotFoundError: there is no store.
        ValueError: the run trains its backbone or augments, or the store is of another backbone or other inputs; all
            that differs is listed.
    """

    def __init__(
        self, key: str, cfg: CfgNode, stages: Sequence[str], *, inputs: Mapping[str, Any], needed: Mapping[str, Any]
    ) -> None:
        _check_needed(key, cfg, {"MODEL.BACKBONE.FREEZE_AT": _ALL_STAGES, **needed})
        self.key = key
        self.store = FeatureStore(_value(cfg, key))
        self.stages = tuple(stages)
        lines = _differences(self.store.spec, _expected(cfg, inputs))
        there = self.store.spec.get("FEATURES.MAPS", [])
        if missing := [stage for stage in stages if stage not in there]:
            lines.append(f"FEATURES.MAPS: store {there}, run also {missing}")
        if lines:
            text = "".join(f"\n  {line}" for line in lines)
            raise ValueError(f"{key}: {self.store.root} does not hold what this run would compute:{text}")
        self.failed = {failure.id: failure.reason for failure in self.store.failed}

    @cached_property
    def strides(self) -> dict[str, int]:
        """Pixels per cell of each map."""
        return {stage: self.store.index[f"{stage}_stride"][0].as_py() for stage in self.stages}

    def check_ids(self, ids: Iterable[str]) -> None:
        """See that items are in the store, or among those that could not be read.

        Raises:
            ValueError: some are not; the message names a few.
        """
        missing = [name for name in ids if name not in self.store and name not in self.failed]
        if missing:
            named = ", ".join(map(repr, missing[:_NAMED]))
            there = ", ".join(map(repr, list(self.store)[:_NAMED])) or "none"
            advice = "extract them too" if self.store.complete else "it is not finished: start its extraction again"
            raise ValueError(
                f"{self.key}: {len(missing)} items of this run are not in {self.store.root}, such as {named}; its ids "
                f"are like {there}; {advice}"
            )

    def sizes(self, ids: Sequence[str]) -> np.ndarray:
        """Height and width of items as decoded, in pixels: (N, 2), zeros for those that could not be read."""
        index = self.store.index
        rows = pc.index_in(pa.array(ids, pa.string()), value_set=index["id"].combine_chunks())
        known = ~rows.is_null().to_numpy(zero_copy_only=False)
        sizes = np.zeros((len(ids), 2), np.int64)
        for column, name in enumerate(("height", "width")):
            sizes[known, column] = index[name].to_numpy()[rows.drop_null().to_numpy()]
        return sizes

    def read(self, name: str, size: tuple[int, int]) -> dict[str, Tensor]:
        """The maps of an item.

        Args:
            name: its id.
            size: (height, width) in pixels of what the model would see, without padding.

        Returns:
            By stage (C, h, w) or (C, T, h, w), of the store's type.

        Raises:
            ValueError: they are of another size, or the shard is damaged.
        """
        maps = self.store.read(name, self.stages)
        for stage, feature in maps.items():
            expected = tuple(-(-side // self.strides[stage]) for side in size)
            if feature.shape[-2:] != expected:
                raise ValueError(
                    f"{self.store.root}: {stage} of {name!r} is {feature.shape[-2]} x {feature.shape[-1]}, expected is "
                    f"{expected[0]} x {expected[1]} of {size[0]} x {size[1]} pixels: was the file changed since?"
                )
        return maps

    def compare(self, name: str, stored: Mapping[str, Tensor], computed: Mapping[str, Tensor]) -> None:
        """Compare the maps of an item with what a backbone computes.

        Args:
            name: its id.
            stored: as :meth:`read` gives them.
            computed: of the same item by stage, (C, h', w') or (C, T, h', w'); cells of padding are left out.

        Raises:
            ValueError: they differ by more than the store's type, or the precision that it was computed in, explains.
        """
        spec = self.store.spec
        allowed = max(_TOLERANCE[spec[key]] for key in ("FEATURES.DTYPE", "FEATURES.PRECISION"))
        for stage, theirs in stored.items():
            height, width = theirs.shape[-2:]
            ours = computed[stage][..., :height, :width].float().cpu()
            difference = ours - theirs.float().cpu()
            share = float(difference.norm() / ours.norm())
            if not share <= allowed:
                raise ValueError(
                    f"{self.key}: {stage} of {name!r} in {self.store.root} is not what this run's backbone computes:"
                    f" it differs by {share:.1%} of its size, at most by {float(difference.abs().max()):.3g}; rounding "
                    f"explains {allowed:.1%}. The store was made with other weights than MODEL.WEIGHTS, or of other "
                    "pixels: extract anew with this run's"
                )


def _check_needed(key: str, cfg: CfgNode, needed: Mapping[str, Any]) -> None:
    wrong = [
        f"{name} is {_value(cfg, name)!r}, needed {value!r}"
        for name, value in needed.items()
        if _value(cfg, name) != value
    ]
    if wrong:
        raise ValueError(
            f"{key}: maps of a store are those of a frozen backbone without augmentation; {'; '.join(wrong)}"
        )


def _expected(cfg: CfgNode, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {**backbone_keys(cfg), "MODEL.HIERA.NORM": "", **inputs}


def _differences(spec: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    lines = []
    for key, value in expected.items():
        ours = json.loads(json.dumps(value))  # as a store keeps it: lists, no tuples
        theirs = spec.get(key, "nothing")
        if theirs != ours:
            note = " (the norms are trained: the run applies its own)" if key == "MODEL.HIERA.NORM" else ""
            lines.append(f"{key}: store {theirs!r}, run {ours!r}{note}")
    return lines


def _value(cfg: CfgNode, key: str) -> Any:
    node: Any = cfg
    for name in key.split("."):
        node = node[name]
    return node
