r"""Maps of clips from a store, of ``DATASETS.TRAIN_FEATURES`` and ``DATASETS.TEST_FEATURES``, in the place of clips.

A store for it is made of the folder ``DATASETS.VIDEOS``, with the run's ``MODEL.HIERA`` (``NORM`` empty), mean,
standard deviation, weights, frames and rate, ``INPUT.RESIZE`` "shortest_edge" and ``INPUT.MIN_SIZE_TEST``, at the
keyframes' times. These are, of AVA's files, where videos begin with second 900 (``DATASETS.FIRST_SECOND``):

    cat ava_train_v2.2.csv ava_val_v2.2.csv | awk -F, -v first=900 -v ending=.mp4 \
        'BEGIN {print "video_id,seconds"} !seen[$1, $2]++ {printf "%s%s,%.3f\n", $1, ending, $2 - first}' > times.csv
    python tools/extract_features.py --input videos/ --times times.csv --output features/ ...

One store of both splits serves both keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from fvcore.common.config import CfgNode
from torch import Tensor

from ava.data.keyframes import Keyframe
from ava.data.videos import VideoFiles
from hiera_det.features.opening import open_stored_maps

if TYPE_CHECKING:
    from hiera_det.features.stored_maps import StoredMaps

__all__ = ["StoredClips", "open_maps"]


class StoredClips:
    """The maps of keyframes.

    Args:
        maps: whose ids are ``<file name>@<second of the file, 3 decimals>``.
        videos: the files that they were taken of; they are not read.
        keyframes: of the dataset.

    Raises:
        ValueError: the store lacks keyframes, or has made some of their clips smaller than a run does.
    """

    def __init__(self, maps: StoredMaps, videos: VideoFiles, keyframes: Sequence[Keyframe]) -> None:
        ids = [videos.clip_id(keyframe.video, keyframe.second) for keyframe in keyframes]
        maps.check_ids(ids)
        self.maps = maps
        self.ids = np.array(ids)  # one array, which worker processes share
        self._sizes = maps.sizes(ids)  # (N, 2)
        self._check_long_sides()

    def _check_long_sides(self) -> None:
        """A store's clips have a longest side, those of a run have none."""
        side, limit = (self.maps.store.spec[f"INPUT.{name}_SIZE_TEST"] for name in ("MIN", "MAX"))
        long_sides = self._sizes.max(axis=1) * side // self._sizes.min(axis=1).clip(min=1)  # as resized
        if long_sides.max() > limit:
            longest = str(self.ids[long_sides.argmax()])
            raise ValueError(
                f"{self.maps.key}: {self.maps.store.root} was made with INPUT.MAX_SIZE_TEST {limit}, but"
                f" {(long_sides > limit).sum()} clips of this run are longer, such as {longest!r}: extract anew with"
                f" {long_sides.max()}"
            )

    def blank(self, index: int) -> np.ndarray:
        """A black frame (1, H, W, 3) of the size of a keyframe's clip as decoded.

        Raises:
            ValueError: the clip could not be read when the store was made.
        """
        if reason := self.maps.failed.get(str(self.ids[index])):
            raise ValueError(f"no maps in the store: {reason}")
        return np.zeros((1, *self._sizes[index], 3), np.uint8)

    def read(self, index: int, size: tuple[int, int]) -> dict[str, Tensor]:
        """The maps (C, T, h, w) of a keyframe's clip, which has (height, width) pixels after its transform."""
        return self.maps.read(str(self.ids[index]), size)


def open_maps(cfg: CfgNode, split: str) -> StoredMaps | None:
    """The store of a split, "TRAIN" or "TEST"; None if the config names none.

    Raises:
        FileNotFoundError, ValueError: as :func:`~hiera_det.features.opening.open_stored_maps` says.
    """
    needed: dict[str, Any] = {"DATASETS.SOURCE": "videos", "INPUT.CENTER_CROP_TEST": False}
    if split == "TRAIN":
        needed |= {"INPUT.FLIP": False, "INPUT.BOX_JITTER": None}
    inputs = {f"INPUT.{name}": cfg.INPUT[name] for name in ("MIN_SIZE_TEST", "NUM_FRAMES", "RATE")}
    inputs |= {"INPUT.FORMAT": "RGB", "INPUT.RESIZE": "shortest_edge"}
    return open_stored_maps(cfg, split, cfg.MODEL.ROI_HEAD.IN_FEATURES, inputs=inputs, needed=needed)
