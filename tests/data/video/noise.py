"""Videos of noise, which damage shows in."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

__all__ = ["write_noise"]


def write_noise(path, count, fps=30, sound=0, codec="libx264", bitstream=False):
    """Noise; ``sound`` is in seconds."""
    with av.open(str(path), "w", format="h264" if bitstream else None) as container:
        stream = container.add_stream(codec, rate=Fraction(fps))
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
        for index in range(count):
            noise = np.random.default_rng(index).integers(0, 256, (64, 96, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise)))
        container.mux(stream.encode())
        for second in range(sound):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), layout="mono")
            frame.sample_rate, frame.pts = 8000, 8000 * second
            container.mux(audio.encode(frame))
    return path
