"""Sources of frames without PyAV: folders and iterators, and which frames are chosen."""

import sys

import numpy as np
import pytest
from PIL import Image

from unimask.errors import ImageError, MissingExtraError, SettingsError
from unimask.video import open_frames
from unimask.video.sources import hide_password, is_live


@pytest.fixture
def folder(tmp_path):
    for number in range(12):
        image = np.full((8, 10, 3), 10 * number, np.uint8)
        Image.fromarray(image).save(tmp_path / f"frame{number}.png")
    return tmp_path


def values(source, **options):
    return [int(frame.image[0, 0, 0]) // 10 for frame in open_frames(source, **options)]


def test_frames_of_a_folder_are_sorted_by_number(folder):
    frames = list(open_frames(folder, rate=4))
    assert [frame.index for frame in frames] == list(range(12)) == values(folder)
    assert [frame.time for frame in frames] == [number / 4 for number in range(12)]
    assert frames[10].name == "frame10.png"
    assert values(f"{folder}/frame1*.png") == [1, 10, 11]


def test_chosen_frames(folder):
    assert values(folder, rate=4, start=1, end=2) == [4, 5, 6, 7]
    assert values(folder, every=5) == [0, 5, 10]
    images = (np.full((8, 10, 3), 10 * number, np.uint8) for number in range(4))
    assert values(images, every=2) == [0, 2]


def test_errors_are_one_line(folder):
    Image.new("RGB", (9, 9)).save(folder / "frame12.png")
    with pytest.raises(ImageError, match=r"frame12.png: frame 12 has 9 x 9 pixels"):
        list(open_frames(folder))
    (folder / "frame2.png").write_bytes(b"broken")
    with pytest.raises(ImageError, match=r"frame2.png"):
        list(open_frames(folder))
    with pytest.raises(ImageError, match="has no frames from 9 s on: it has 13 in all"):
        list(open_frames(folder, start=9))
    with pytest.raises(ImageError, match="does not exist"):
        open_frames("missing.mp4")
    for options in ({"every": 0}, {"start": -1}, {"start": 2, "end": 1}, {"rate": 0}):
        with pytest.raises(SettingsError):
            open_frames(folder, **options)
    with pytest.raises(SettingsError, match="rtsp://host/a is live"):
        open_frames("rtsp://user:secret@host/a", start=3)


def test_the_reading_thread_ends_with_its_consumer(folder):
    frames = open_frames(folder)
    next(frames)
    frames.close()


def test_without_pyav_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"unimask\[video\]"):
        list(open_frames(tmp_path / "a.mp4"))


def test_live_sources():
    assert all(map(is_live, ["0", "rtsp://a/b", "/dev/video2", "udp://1.2.3.4:5"]))
    assert not any(map(is_live, ["a.mp4", "https://a/b.mp4", "frames/"]))
    assert hide_password("rtsp://user:secret@host/a@b") == "rtsp://host/a@b"
