from __future__ import annotations

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from hiera_det.projects.ava.data.frames import FrameFolders
from hiera_det.projects.ava.data.videos import VideoFiles, find_videos

BITS = 8


def _counter(index, height=64, width=96):
    """A frame with its index as a row of black and white squares, for any codec to keep."""
    frame = np.full((height, width, 3), 90, np.uint8)
    for bit in range(BITS):
        frame[4:20, bit * 12 : bit * 12 + 12] = 235 if index >> bit & 1 else 20
    frame[40:, :32] = (200, 40, 40)
    return frame


def _read_counter(clip):
    bits = clip[:, 8:16, 3:96:12].mean(axis=(1, 3)) > 128  # (T, 8)
    return (bits * 2 ** np.arange(BITS)).sum(axis=1).tolist()


def _write(path, count=150, fps=Fraction(30), codec="libx264", times=None, movflags=""):
    """Frames 0 … count - 1; ``times`` are presentation times in 1/90000 s in decoding order, of intra-only codecs."""
    with av.open(str(path), "w", container_options={"movflags": movflags} if movflags else {}) as container:
        stream = container.add_stream(codec, rate=fps, options={"g": "24"})
        stream.height, stream.width, _ = _counter(0).shape
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        packets = [p for i in range(count) for p in stream.encode(av.VideoFrame.from_ndarray(_counter(i)))]
        for place, packet in enumerate(packets + stream.encode()):
            if times is not None and packet.pts is not None:
                packet.time_base = Fraction(1, 90000)
                packet.pts, packet.dts = times[place], min(times[place:])
            container.mux(packet)
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Five seconds of h264 at 30 fps, with B-frames and a keyframe every 24."""
    return _write(tmp_path_factory.mktemp("videos") / "a.mp4")


def _source(path, **options):
    return VideoFiles({"a": path}, **options)


def test_a_clip_is_rgb_around_the_keyframe(video):
    clip = _source(video).read("a", 2, 16, 4)
    assert clip.shape == (16, 64, 96, 3)
    assert clip.dtype == np.uint8
    assert _read_counter(clip) == list(range(28, 92, 4))
    np.testing.assert_allclose(clip[:, 44:60, 4:28].mean(axis=(0, 1, 2)), (200, 40, 40), atol=6)


@pytest.mark.parametrize("second", [0, 0.5, 1.1, 2.4, 3.2, 4.0, 4 + 29 / 30])
def test_every_seek_lands_before_its_target(video, second):
    keyframe = round(second * 30)
    assert _read_counter(_source(video).read("a", second, 4, 1)) == [
        min(max(keyframe + step, 0), 149) for step in (-2, -1, 0, 1)
    ]


def test_a_clip_is_clamped_at_the_ends(video):
    assert _read_counter(_source(video).read("a", 0, 4, 30)) == [0, 0, 0, 30]
    assert _read_counter(_source(video).read("a", 4.9, 4, 30)) == [87, 117, 147, 149]


def test_rate_0_repeats_the_keyframe(video):
    assert _read_counter(_source(video).read("a", 1, 4, 0)) == [30] * 4


def test_first_second(video):
    assert _read_counter(_source(video, first_second=900).read("a", 902, 2, 3)) == [57, 60]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(25), Fraction(60000, 1001), Fraction(10)])
def test_any_frame_rate_by_time(tmp_path, fps, suffix):
    path = _write(tmp_path / f"a.{suffix}", 100, fps, "mpeg4" if suffix == "avi" else "libx264")
    middle = float(50 / fps)
    times = middle + np.arange(-4, 4) * 4 / 30
    got = _read_counter(_source(path).read("a", middle, 8, 4))
    assert np.abs(np.array(got) - times * float(fps)).max() <= 0.5 + 0.001 * float(fps)  # timestamps may be in ms
    assert got[4] == 50


def test_times_count_from_the_containers_start(tmp_path):
    late = [90000 * 7 + 3000 * i for i in range(60)]
    path = _write(tmp_path / "a.mkv", 60, codec="mjpeg", times=late)
    assert _read_counter(_source(path).read("a", 1, 2, 6)) == [24, 30]


def test_uneven_timestamps(tmp_path):
    # 30 frames at 30 per second, then 30 at 10 per second.
    times = [3000 * i for i in range(30)] + [90000 + 9000 * i for i in range(30)]
    path = _write(tmp_path / "a.mkv", 60, codec="mjpeg", times=times)
    assert _read_counter(_source(path).read("a", 1, 4, 6)) == [18, 24, 30, 32]


def test_a_file_of_a_real_camera(shared_data):
    source = VideoFiles(find_videos(shared_data / "hiera"))
    assert set(source.videos) == {"dog", "goat"}
    with av.open(str(shared_data / "hiera" / "dog.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    clip = source.read("dog", 3, 16, 4)
    np.testing.assert_array_equal(clip, np.stack([frames[min(i, 149)] for i in range(58, 122, 4)]))


def test_a_display_rotation_is_applied(video, tmp_path):
    # A quarter turn clockwise, as phones write it: matrix (0, 1, -1, 0) in the track header.
    content = bytearray(video.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    assert struct.unpack(">9i", content[start : start + 36])[0] == 1 << 16
    one, w = 1 << 16, 1 << 30
    content[start : start + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, w)
    path = tmp_path / "turned.mp4"
    path.write_bytes(content)
    upright = _source(video).read("a", 1, 2, 3)
    np.testing.assert_array_equal(_source(path).read("a", 1, 2, 3), np.rot90(upright, -1, axes=(1, 2)))


@pytest.mark.parametrize("movflags", ["", "faststart", "frag_keyframe+empty_moov"])
def test_a_truncated_video_is_named(tmp_path, movflags):
    whole = _write(tmp_path / "whole.mp4", movflags=movflags)
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises((ValueError, OSError), match=r"cut\.mp4"):
        _source(path).read("a", 4, 8, 4)


def test_a_truncated_video_with_its_header_in_front(tmp_path):
    whole = _write(tmp_path / "whole.mkv")
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(ValueError, match=r"cut\.mkv is cut off: its frames end at 2\.\d* s"):
        _source(path).read("a", 4, 8, 4)
    assert _read_counter(_source(path).read("a", 1, 4, 4)) == [22, 26, 30, 34]  # what is there can be used


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_no_video_file(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.mp4 cannot be decoded"):
        _source(path).read("a", 1, 4, 4)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match=r"gone\.mp4.*No such file"):
        _source(tmp_path / "gone.mp4").read("a", 1, 4, 4)


def test_no_video_stream(tmp_path):
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ValueError, match=r"sound\.mkv has no video stream"):
        _source(path).read("a", 0, 4, 4)


def test_timestamps_that_go_backward(tmp_path):
    times = [3000 * i for i in range(60)]
    times[20:] = [3000 * (i - 15) for i in range(20, 60)]
    path = _write(tmp_path / "a.mkv", 60, codec="mjpeg", times=times)
    with pytest.raises(ValueError, match=r"timestamps of .*a\.mkv go backward, from 0\.633 s to 0\.167 s; re-encode"):
        _source(path).read("a", 0.6, 8, 4)


def test_equal_timestamps_are_no_fault(tmp_path):
    times = [3000 * (i - i % 2) for i in range(60)]
    path = _write(tmp_path / "a.mkv", 60, codec="mjpeg", times=times)
    got = _read_counter(_source(path).read("a", 1, 4, 2))
    assert [frame // 2 for frame in got] == [13, 14, 15, 16]


@pytest.mark.parametrize("second", [5.6, 902])
def test_a_second_behind_the_end(video, second):
    with pytest.raises(ValueError, match=rf"a\.mp4 ends at 5\.000 s, before the keyframe at {second:.3f} s"):
        _source(video).read("a", second, 4, 4)


def test_a_second_before_the_beginning(video):
    with pytest.raises(ValueError, match="second 10 lies before second 900"):
        _source(video, first_second=900).read("a", 10, 4, 4)


def test_an_unknown_video(video):
    with pytest.raises(ValueError, match="'b' is not among the 1 video files"):
        _source(video).read("b", 1, 4, 4)


def test_find_videos(video, tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="no videos in"):
        find_videos(tmp_path)
    for name in ("x.y.MP4", "z.webm"):
        (tmp_path / name).write_bytes(b"")
    assert {video: path.name for video, path in find_videos(tmp_path).items()} == {"x.y": "x.y.MP4", "z": "z.webm"}
    (tmp_path / "z.mkv").write_bytes(b"")
    with pytest.raises(ValueError, match="both video 'z'"):
        find_videos(tmp_path)


def test_frames_and_video_show_the_same(video, tmp_path):
    (tmp_path / "a").mkdir()
    for index in range(150):
        cv2.imwrite(str(tmp_path / "a" / f"a_{index + 1:06d}.jpg"), _counter(index)[:, :, ::-1])
    frames, films = FrameFolders(tmp_path), _source(video, first_second=900)
    for second in (900, 901, 902, 903, 904, 904.9):
        pictures, film = frames.read("a", second, 16, 4), films.read("a", second, 16, 4)
        assert _read_counter(pictures) == _read_counter(film)
        assert np.abs(pictures.astype(int) - film).mean() < 3


def test_videos_in_folders_have_ids_with_folders(video, tmp_path):
    for name in ("a/b.mp4", "a/c/b.mkv", "b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert list(find_videos(tmp_path)) == ["a/b", "a/c/b", "b"]
    (tmp_path / "a" / "b.avi").write_bytes(b"")
    with pytest.raises(ValueError, match=r"are both video 'a/b'"):
        find_videos(tmp_path)
