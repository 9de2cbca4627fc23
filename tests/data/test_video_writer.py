from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from hiera_det.data.video import read_frames, read_nearest, video_duration
from hiera_det.data.video_writer import redraw_video, write_video
from tests.utils.full_disk import files_of_at_most

MS = Fraction(1, 1000)
UNEVEN = [0, 0.033, 0.1, 0.533, 0.6, 2.0, 2.04, 2.08]  # seconds, as a screen recorder gives


def image(number, height=48, width=64):
    """A grey of its own for each number, and a red square in the upper left corner."""
    pixels = np.full((height, width, 3), 20 * (number % 12), np.uint8)
    pixels[:16, :16] = (220, 30, 30)
    return pixels


def source(path, times, sound=0.0, codec="mjpeg", rate=30):
    """A video of frames at these seconds; ``sound`` is in seconds, from 0 on."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, time_base=MS)
        stream.height, stream.width, _ = image(0).shape
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if sound:
            audio = container.add_stream("pcm_s16le", rate=8000, layout="mono")
            samples = av.AudioFrame.from_ndarray(np.zeros((1, int(8000 * sound)), np.int16), layout="mono")
            samples.sample_rate, samples.pts = 8000, 0
            container.mux(audio.encode(samples))
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(image(number))
            frame.pts, frame.time_base = round(time * 1000), MS
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def times_of(path):
    """As the file has them."""
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def number_of(frame):
    return round(frame[24:, 24:].mean() / 20)


def test_frames_keep_their_times_where_the_rate_varies(tmp_path):
    seen = []

    def draw(seconds, frame):
        seen.append((seconds, number_of(frame)))
        return frame

    path = source(tmp_path / "a.mkv", UNEVEN)
    redraw_video(path, tmp_path / "b.mp4", draw)
    assert seen == [(pytest.approx(time), number) for number, time in enumerate(UNEVEN)]
    assert times_of(tmp_path / "b.mp4") == pytest.approx(UNEVEN, abs=1e-5)
    assert [number_of(frame) for _, frame in read_frames(tmp_path / "b.mp4")] == list(range(len(UNEVEN)))
    assert video_duration(tmp_path / "b.mp4") == pytest.approx(video_duration(path), abs=1e-4)
    for number, time in enumerate(UNEVEN):
        assert number_of(read_nearest(path, time, np.array([time]))[0]) == number


def test_a_steady_rate_stays_one(tmp_path):
    redraw_video(source(tmp_path / "a.mkv", np.arange(5) / 10, rate=10), tmp_path / "b.mp4", lambda _, frame: frame)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].average_rate == 10


def test_times_count_from_the_start_of_the_file(tmp_path):
    """One begins at 10 s; in the other the sound begins, and the video two seconds later."""
    late = source(tmp_path / "late.mkv", [10 + time for time in UNEVEN])
    assert times_of(late)[0] == 10
    behind = source(tmp_path / "behind.mkv", [2 + time for time in UNEVEN], sound=6)
    for path, begin in ((late, 0), (behind, 2)):
        seen = []
        redraw_video(path, tmp_path / "b.mp4", lambda time, frame, seen=seen: seen.append(time) or frame)
        assert seen == pytest.approx([begin + time for time in UNEVEN])
        assert times_of(tmp_path / "b.mp4") == pytest.approx(seen, abs=1e-5)
        assert number_of(read_nearest(path, seen[3], np.array([seen[3]]))[0]) == 3


def test_two_frames_of_one_time(tmp_path):
    write_video(tmp_path / "a.mp4", zip((0, 0, 0.5), map(image, range(3)), strict=True))
    assert times_of(tmp_path / "a.mp4") == pytest.approx([0, 0, 0.5], abs=2e-5)


def test_frames_are_turned_as_the_display_matrix_says(tmp_path):
    path = source(tmp_path / "a.mp4", [0, 0.1], codec="libx264")
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    one, w = 1 << 16, 1 << 30
    content[start : start + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, w)  # a quarter clockwise
    path.write_bytes(content)
    redraw_video(path, tmp_path / "b.mp4", lambda _, frame: frame)
    for file in (path, tmp_path / "b.mp4"):
        for _, frame in read_frames(file):
            assert frame.shape == (64, 48, 3)
            assert frame[4:12, -12:-4, 0].min() > 180 > 60 > frame[-12:-4, 4:12, 0].max()  # red, now at the right


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 63), (47, 64), (1, 1)])
def test_odd_sizes_grow_by_a_pixel(tmp_path, height, width):
    pixels = np.full((height, width, 3), 40, np.uint8)
    pixels[:, -1] = pixels[-1] = 200
    write_video(tmp_path / "a.mp4", [(0.0, pixels), (0.1, pixels)])
    for _, frame in read_frames(tmp_path / "a.mp4"):
        assert frame.shape == (height + height % 2, width + width % 2, 3)
        assert frame[:, -1].min() > 150 and frame[-1].min() > 150


def test_browsers_play_it_in_its_colours(tmp_path):
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:64], pixels[:, 64:] = colours = (200, 40, 40), (30, 180, 60), (20, 60, 220)
    write_video(tmp_path / "a.mp4", [(0.0, pixels)])
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)  # BT.709, as TV has it
    _, frame = next(read_frames(tmp_path / "a.mp4"))
    np.testing.assert_allclose(frame[32, 16::32], colours, atol=5)


def test_the_same_frames_make_the_same_file(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, ((number / 30, image(number)) for number in range(40)))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_an_error_of_the_callback_leaves_what_was_there(tmp_path):
    path, target = source(tmp_path / "a.mkv", UNEVEN), tmp_path / "b.mp4"

    def draw(seconds, frame):
        if seconds > 1:
            raise RuntimeError("no memory left")
        return frame

    for content in (None, b"old"):
        if content:
            target.write_bytes(content)
        with pytest.raises(RuntimeError, match="no memory left"):
            redraw_video(path, target, draw)
        assert {file.name for file in tmp_path.iterdir()} == {"a.mkv", *(["b.mp4"] if content else [])}
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("a.mkv", lambda content: content[: len(content) * 6 // 10], r"a\.mkv is cut off: its frames end at 1\.\d* s"),
        ("a.mp4", lambda content: content[: len(content) * 6 // 10], r"a\.mp4 cannot be (opened|decoded)"),
        ("a.mkv", lambda content: b"no video", r"a\.mkv cannot be opened"),
        ("a.mkv", lambda content: b"", r"a\.mkv cannot be opened"),
    ],
)
def test_a_source_that_is_no_video_leaves_nothing(tmp_path, name, damage, message):
    path = source(tmp_path / name, np.arange(0, 2, 0.05), codec="mpeg4")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        redraw_video(path, tmp_path / "b.mp4", lambda _, frame: frame)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match=r"gone\.mp4 .*: No such file"):
        redraw_video(tmp_path / "gone.mp4", tmp_path / "b.mp4", lambda _, frame: frame)


def test_frames_that_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"a\.mp4 would have no frames"):
        write_video(tmp_path / "a.mp4", [])
    with pytest.raises(ValueError, match=r"a\.mp4 differ in size: \(48, 64, 3\), and \(48, 60, 3\) at 0\.500 s"):
        write_video(tmp_path / "a.mp4", [(0.0, image(0)), (0.5, image(1, width=60))])
    with pytest.raises(OSError):
        write_video(tmp_path / "folder" / "a.mp4", [(0.0, image(0))])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [1, 200])
def test_a_full_disk(tmp_path, count):
    noise = np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3), np.uint8)
    with files_of_at_most(1000), pytest.raises(OSError, match="File too large"):
        write_video(tmp_path / "a.mp4", ((number / 30, frame) for number, frame in enumerate(noise)))
    assert not list(tmp_path.iterdir())


def test_a_frame_that_stands_long_does_not_stretch_the_end(tmp_path):
    path = source(tmp_path / "a.mkv", [0, 0.1, 5])
    redraw_video(path, tmp_path / "b.mp4", lambda _, frame: frame)
    assert video_duration(tmp_path / "b.mp4") == pytest.approx(5 + 1 / 30, abs=1e-3)


def test_a_size_that_changes_on_the_way(tmp_path, caplog):
    """As browsers' recordings do: here each frame comes back in another size."""
    path = source(tmp_path / "a.mkv", np.arange(4) / 10)
    redraw_video(path, tmp_path / "b.mp4", lambda time, frame: frame[: 48 if time < 0.15 else 24])
    assert [frame.shape for _, frame in read_frames(tmp_path / "b.mp4")] == [(48, 64, 3)] * 4
    assert "changes its size at 0.200 s; it is drawn in that of its beginning" in caplog.text
