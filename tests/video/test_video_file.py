"""Video files of many kinds, written by FFmpeg, and what is wrong with some of them."""

import importlib.util
import socket
import subprocess
import sys
import time
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from unimask.errors import ImageError
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.results import Result, Segment
from unimask.video import TrackedFrame, VideoWarning, open_frames
from unimask.video.annotated_video import AnnotatedVideo

pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="needs av"),
]

RED = (220, 30, 30)


def draw(number: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """Draw a red square that moves by two pixels per frame, and a white top left corner."""
    image = np.full((*size, 3), 40, np.uint8)
    image[40:80, 2 * number : 2 * number + 40] = RED
    image[:10, :10] = 255
    return image


def write(path, images, *, rotation=None, times=None, options=None, **stream_options):
    import av

    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10", **stream_options})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times:
                frame.pts, frame.time_base = round(1000 * times[number]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def clip(tmp_path):
    return write(tmp_path / "clip.mp4", [draw(number) for number in range(50)])


def test_frames_are_those_that_were_written(clip):
    frames = list(open_frames(clip))
    assert [frame.index for frame in frames] == list(range(50))
    assert [round(frame.time, 3) for frame in frames] == [round(n / 25, 3) for n in range(50)]
    for number, frame in enumerate(frames):
        difference = np.abs(frame.image.astype(int) - draw(number))
        assert difference.mean() < 3
        assert np.abs(frame.image[60, 2 * number + 20].astype(int) - RED).max() < 8


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_videos_are_upright(tmp_path, rotation):
    upright = draw(5)
    stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
    path = write(tmp_path / "phone.mp4", [stored] * 3, rotation=rotation)
    frame = next(open_frames(path))
    assert frame.image.shape == upright.shape
    assert np.abs(frame.image.astype(int) - upright).mean() < 3


def test_variable_rate_keeps_the_times(tmp_path):
    times = [0.0, 0.04, 0.08, 0.5, 0.54, 1.7]
    path = write(tmp_path / "phone.mp4", [draw(n) for n in range(6)], times=times)
    assert [round(frame.time, 2) for frame in open_frames(path)] == times


def test_chosen_times(clip, monkeypatch):
    from unimask.video import video_file

    expected = [25, 30, 35]
    frames = list(open_frames(clip, every=5, start=1.0, end=1.5))
    assert [frame.index for frame in frames] == expected
    monkeypatch.setattr(video_file, "SEEK_SECONDS", 0.5)  # decode from the key frame before
    again = list(open_frames(clip, every=5, start=1.0, end=1.5))
    assert [frame.index for frame in again] == expected
    assert all((a.image == b.image).all() for a, b in zip(frames, again, strict=True))
    with pytest.raises(ImageError, match=r"no frames from 7 s on: it ends at 1.96 s"):
        list(open_frames(clip, start=7))


def test_unreadable_files_get_one_line(tmp_path, clip):
    import av

    data = clip.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.mp4").write_text("no video")
    images = [draw(number) for number in range(20)]
    write(
        tmp_path / "drm.mp4",
        images,
        options={
            "encryption_scheme": "cenc-aes-ctr",
            "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
            "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
        },
    )
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    start = write(tmp_path / "start.mp4", images, options={"movflags": "faststart"}).read_bytes()
    (tmp_path / "start.mp4").write_bytes(start[: start.index(b"mdat") + 20])
    for name, message in {
        "cut.mp4": "no video that FFmpeg can read, or its end is missing",
        "text.mp4": "no video that FFmpeg can read",
        "drm.mp4": "is encrypted",
        "sound.mp4": "has no video, only audio",
        "start.mp4": "has no frame that can be decoded|has no frames",
    }.items():
        with pytest.raises(ImageError, match=message) as caught:
            list(open_frames(tmp_path / name))
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_and_missing_parts_are_left_out_with_a_warning(tmp_path):
    images = [draw(number) for number in range(50)]
    data = bytearray(write(tmp_path / "a.mkv", images).read_bytes())
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    with pytest.warns(VideoWarning, match=r"cut.mkv ends early: \d+ of about 50 frames"):
        assert 20 <= len(list(open_frames(tmp_path / "cut.mkv"))) < 50
    random = np.random.default_rng(0)
    for place in random.integers(len(data) // 4, len(data) * 3 // 4, 10):
        data[place] ^= 255
    (tmp_path / "bad.mkv").write_bytes(data)
    with pytest.warns(VideoWarning, match=r"bad.mkv: \d+ damaged frames"):
        frames = list(open_frames(tmp_path / "bad.mkv"))
    assert 10 <= len(frames) < 50
    assert (np.diff([frame.time for frame in frames]) > 0).all()


# A process of its own, since PyAV holds Python's lock while it waits for a connection.
SERVER = """
import sys, time
import av, numpy as np
with av.open(f"tcp://127.0.0.1:{sys.argv[1]}?listen=1", "w", format="mpegts") as container:
    stream = container.add_stream("libx264", rate=25, options={"tune": "zerolatency", "g": "5"})
    stream.height, stream.width, stream.pix_fmt = 120, 160, "yuv420p"
    for number in range(200):
        image = np.full((120, 160, 3), number, np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        time.sleep(0.02)
"""


def test_a_stream_over_tcp_is_read_live():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVER, str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(100):  # until the server listens
                try:
                    frames = open_frames(f"tcp://127.0.0.1:{port}")
                    received = [next(frames)]
                    break
                except ImageError:
                    time.sleep(0.1)
            received += islice(frames, 4)
            frames.close()
        finally:
            server.kill()
    assert all(frame.image.shape == (120, 160, 3) for frame in received)
    assert (np.diff([frame.index for frame in received]) > 0).all()
    with pytest.raises(ImageError, match=r"^rtsp://127.0.0.1:1/none cannot be opened"):
        next(open_frames("rtsp://user:secret@127.0.0.1:1/none"))


def test_annotated_videos_have_one_size_and_stable_colours(tmp_path):
    labels = LabelSet(("car", "a class with a long name"), (True, False))
    path = tmp_path / "out.mp4"
    video = AnnotatedVideo(path, labels)
    colours = []
    for number in range(4):
        mask = np.zeros((121, 161), bool)
        mask[40:80, 10 + 20 * number : 60 + 20 * number] = True
        segment = Segment.from_rle(labels, 0, RunLength.from_mask(mask), id=1, score=0.9)
        segments = [segment] if number != 2 else []
        tracked = Result(
            "instance",
            mask.shape,
            labels,
            tuple(Segment(**{**vars(s), "track_id": 7}) for s in segments),
        )
        image = np.full((*mask.shape, 3), 90, np.uint8)
        video.add(TrackedFrame(number, 5 + number / 10, image, tracked))
    video.close()
    frames = list(open_frames(path))
    assert [round(frame.time, 3) for frame in frames] == [0, 0.1, 0.2, 0.3]
    assert {frame.image.shape[:2] for frame in frames} == {frames[0].image.shape[:2]}
    factor = 4  # small images are enlarged
    for number in (0, 1, 3):
        colours.append(frames[number].image[factor * 45, factor * (15 + 20 * number)].astype(int))
    assert np.abs(np.diff(colours, axis=0)).max() < 12
    Image.fromarray(frames[0].image).save(tmp_path / "frame.png")


def test_real_clips(real_data):
    folder = real_data / "video" / "intel_cc_by"
    frames = list(islice(open_frames(folder / "one-by-one-person-detection.mp4"), 15))
    assert frames[0].image.shape == (432, 768, 3)
    assert np.allclose(np.diff([frame.time for frame in frames]), 0.1, atol=1e-3)
    frames = list(open_frames(folder / "bottle-detection.mp4", end=1))
    assert frames[0].image.shape == (360, 640, 3) and 28 <= len(frames) <= 31
