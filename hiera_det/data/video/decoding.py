"""Decoding packet by packet: the frames that come out, and the times of those that are lost."""

from __future__ import annotations

import errno
import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator

import av

from hiera_det.data.video.opened import Video

__all__ = ["Decoding"]

_MAX_NVOP = 19  # bytes of a packet of MPEG-4 that repeats the frame before it; FFmpeg's MAX_NVOP_SIZE
_STRAY = 0.5  # seconds by which times that FFmpeg guesses may be out of order


class Decoding:
    """Decodes packets of a video, in the order of the file, to frames in the order in which they show.

    Attributes:
        lost: timestamps of frames that did not come: their packets are damaged, or those that they build upon.
    """

    def __init__(self, video: Video, since: int | None = None) -> None:
        """Only frames of the timestamp ``since`` or later are given and missed."""
        self.since = since
        self.lost: set[int] = set()
        self._codec = video.stream.codec_context.name
        self._by_packet = video.frames_by_packet
        self._stray = round(_STRAY / video.base)
        self._margin = 0 if video.has_times else self._stray
        self._awaited: list[int] = []  # a heap
        self._latest: float = -math.inf
        self._came: Counter[int] = Counter()

    def frames(self, packets: Iterable[av.Packet]) -> Iterator[av.VideoFrame]:
        """Decode."""
        shown = None
        for packet in packets:
            self._await(packet)
            for frame in self._decode(packet):
                if frame.pts is not None:
                    if self._is_early(frame.pts):
                        continue
                    if shown is None and not self.lost:
                        self._settle(frame.pts - 1, missed=False)  # a file may begin with frames that lack others
                    self._came[frame.pts] += 1
                    self.lost.discard(frame.pts)  # an error may be of an earlier packet than that which raises it
                    self._settle(frame.pts - self._margin, missed=not frame.interlaced_frame)
                    shown = frame.pts
                if not frame.is_corrupt:
                    yield frame
                elif frame.pts is not None:
                    self.lost.add(frame.pts)
        if shown is not None:
            self._settle(None, missed=not frame.interlaced_frame)

    def _await(self, packet: av.Packet) -> None:
        if packet.dts is not None:
            if (
                packet.dts < self._latest - self._stray
            ):  # another recording, whose frames cannot be told from the first one's
                self._by_packet = False
                self._awaited.clear()
            self._latest = packet.dts
        coded = not packet.is_discard and packet.size > (_MAX_NVOP if self._codec == "mpeg4" else 0)
        if self._by_packet and coded and packet.pts is not None and not self._is_early(packet.pts):
            heapq.heappush(self._awaited, packet.pts)

    def _is_early(self, pts: int) -> bool:
        return self.since is not None and pts < self.since

    def _decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        try:
            return packet.decode()
        except av.FFmpegError as error:
            if error.errno == errno.ENOMEM:
                raise
            if packet.pts is not None and not self._is_early(packet.pts):
                self.lost.add(packet.pts)
            return []

    def _settle(self, pts: int | None, *, missed: bool) -> None:
        """Frames up to a timestamp that have not come will not come any more; None: none will."""
        while self._awaited and (pts is None or self._awaited[0] <= pts):
            earlier = heapq.heappop(self._awaited)
            if self._came[earlier]:
                self._came[earlier] -= 1
            elif missed:
                self.lost.add(earlier)
