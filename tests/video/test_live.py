"""Live sources: the newest frame is taken, lost connections are made again."""

import itertools
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from unimask.errors import ImageError
from unimask.video import VideoWarning, live
from unimask.video.live import read_live

IMAGE = np.zeros((4, 6, 3), np.uint8)


def camera(rate: float, count: int | None = None):
    """Deliver numbered frames at a rate, on a clock that does not wait for the reader."""
    start = time.monotonic()
    for number in itertools.count() if count is None else range(count):
        time.sleep(max(0.0, start + number / rate - time.monotonic()))
        yield number


def test_a_slow_model_sees_frames_younger_than_400_ms():
    frames = read_live(lambda: camera(30), "camera 0", convert=lambda number: IMAGE)
    ages, indices = [], []
    with closing(frames):
        for frame in itertools.islice(frames, 8):
            time.sleep(0.2)  # the model
            assert frame.received is not None
            ages.append(time.monotonic() - frame.received)
            indices.append(frame.index)
    assert max(ages) < 0.4
    assert (np.diff(indices) >= 3).all()  # others were dropped


def test_a_lost_source_is_connected_again(monkeypatch):
    monkeypatch.setattr(live, "FIRST_DELAY", 0.01)
    connections = itertools.count()

    def connect():
        number = next(connections)
        if number == 1:
            raise ImageError("refused")
        yield from camera(100, 5)
        if number == 0:
            raise OSError("gone")
        yield from camera(1, 2)

    frames = read_live(connect, "camera 0", convert=lambda number: IMAGE)
    lost = pytest.warns(VideoWarning, match="camera 0 was lost .gone.: connecting again")
    with lost, closing(frames):
        assert [frame.index for frame in itertools.islice(frames, 10)] == list(range(10))
    assert next(connections) == 3


def test_a_vanished_source_is_an_error(monkeypatch):
    monkeypatch.setattr(live, "FIRST_DELAY", 0.05)

    attempts = itertools.count()

    def connect():
        if next(attempts):
            raise ImageError("camera 0 cannot be opened")
        yield from camera(100, 2)

    with pytest.warns(VideoWarning), pytest.raises(ImageError, match=r"no frame for \d+ s"):
        list(read_live(connect, "camera 0", patience=0.3, convert=lambda number: IMAGE))


def test_a_source_that_never_worked_is_an_error_at_once():
    def connect():
        raise ImageError("camera 7 cannot be opened (No such device): check the source")
        yield

    with pytest.raises(ImageError, match=r"^camera 7 cannot be opened"):
        next(read_live(connect, "camera 7"))
    with pytest.raises(ImageError, match="delivers no frames"):
        next(read_live(lambda: iter(()), "camera 7"))


def test_end_size_and_number_of_frames():
    frames = read_live(lambda: camera(200), "c", every=3, end=0.2, convert=lambda number: IMAGE)
    assert all(frame.time < 0.2 for frame in frames)
    sizes = camera(50)
    changing = read_live(
        lambda: sizes, "camera", convert=lambda number: IMAGE if number < 3 else IMAGE[:2]
    )
    with pytest.raises(ImageError, match="2 x 6 pixels, those before it 4 x 6"):
        list(changing)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "frames"]
