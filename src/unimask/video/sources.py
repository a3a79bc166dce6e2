"""Sources of frames: files, folders, cameras, addresses of streams, and iterators."""

import re
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, Unpack

import numpy as np

from unimask.errors import ImageError, SettingsError
from unimask.processing.images import is_folder_or_pattern, list_images, read_image
from unimask.video.frame import DEFAULT_RATE, Frame, FrameOptions
from unimask.video.live import connect_stream, read_live
from unimask.video.video_file import check_size, read_video

LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt"})
"""Schemes of addresses that are live; others, such as http, are read like files."""

LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay"}
"""Options of FFmpeg against buffers of frames."""

AHEAD = 2
"""Number of frames that are decoded while the network works."""

POLL_SECONDS = 0.2
"""Seconds between checks whether the reader of frames has ended."""

VideoSource = str | Path | int | Iterator[np.ndarray]
"""File, folder or pattern of frames, address, number of a camera, or iterator of images."""


def open_frames(source: VideoSource, **options: Unpack[FrameOptions]) -> Generator[Frame]:
    """Open a source and yield its frames.

    Args:
        source: Video file; folder or glob pattern of frames; address of a stream; number of a
            camera; or iterator of RGB images.
        options: Which frames, see `FrameOptions`.

    Raises:
        ImageError: The source cannot be read.
        SettingsError: An option is out of range.
        MissingExtraError: PyAV is not installed.
    """
    check_options(options)
    every, start, end = options.get("every", 1), options.get("start", 0.0), options.get("end")
    rate = options.get("rate", DEFAULT_RATE)
    if not isinstance(source, str | Path | int | np.integer):
        return number_frames(source, "frames", lambda image: image, every, start, end, rate)
    name = str(source)
    live = options.get("live")
    if is_live(name) if live is None else live:
        if start:
            raise SettingsError(f"{hide_password(name)} is live: frames cannot start later")
        address, arguments = live_arguments(name)
        shown_name = hide_password(name) if not name.isdecimal() else f"camera {name}"
        return read_live(
            lambda: connect_stream(address, shown_name, arguments),
            shown_name,
            every=every,
            end=end,
            patience=options.get("patience", 60.0),
        )
    if is_folder_or_pattern(name):
        images = sorted(list_images(name, recursive=False), key=natural_key)
        frames = number_frames(iter(images), name, read_frame, every, start, end, rate)
    else:
        if "://" not in name and not Path(name).exists():
            raise ImageError(f"{name} does not exist: pass a video, a folder of frames or a camera")
        frames = read_video(name, every=every, start=start, end=end)
    return read_ahead(frames)


def check_options(options: FrameOptions) -> None:
    """Raise SettingsError for options out of range."""
    every, start, end = options.get("every", 1), options.get("start", 0.0), options.get("end")
    if not isinstance(every, int) or every < 1:
        raise SettingsError(f"every {every} is no whole number from 1")
    if not 0 <= start < (float("inf") if end is None else end):
        raise SettingsError(f"start {start} and end {end} must be seconds, start before end")
    for name in ("rate", "patience"):
        value = options.get(name, 1.0)
        if not 0 < value < float("inf"):
            raise SettingsError(f"{name} {value} must be positive")


def is_live(name: str) -> bool:
    """Return whether a source delivers frames on its own clock."""
    scheme = name.partition("://")[0].lower() if "://" in name else ""
    return name.isdecimal() or scheme in LIVE_SCHEMES or name.startswith("/dev/")


def live_arguments(name: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments by which FFmpeg opens a live source."""
    if name.startswith(("rtsp://", "rtsps://")):
        return name, {"options": {**LOW_DELAY, "rtsp_transport": "tcp"}}
    if not (name.isdecimal() or name.startswith("/dev/")):
        return name, {"options": LOW_DELAY}
    if sys.platform == "darwin":
        return name, {"format": "avfoundation", "options": {"framerate": "30"}}
    if sys.platform == "win32":
        raise ImageError(
            f"camera {name}: on Windows pass its name, such as video=Integrated Camera"
        )
    return (f"/dev/video{name}" if name.isdecimal() else name), {"format": "v4l2"}


def hide_password(address: str) -> str:
    """Return an address without user name and password, for messages."""
    return re.sub(r"(?<=://)[^/@]*@", "", address)


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def read_frame(path: Path) -> np.ndarray:
    """Read an image file as RGB."""
    return read_image(path)


def number_frames(
    items: Iterator[Any],
    name: str,
    read: Callable[[Any], np.ndarray],
    every: int,
    start: float,
    end: float | None,
    rate: float,
) -> Generator[Frame]:
    """Yield images as the frames of a video of a constant rate; those left out are not read.

    Raises:
        ImageError: An image cannot be read, differs in size, or there are none.
    """
    size, count, index = None, 0, -1
    for index, item in enumerate(items):
        time = index / rate
        if end is not None and time >= end:
            break
        if time < start or index % every:
            continue
        image = read(item)
        shown_name = f"{name}: {item.name}" if isinstance(item, Path) else name
        size = check_size(shown_name, index, image.shape[:2], size)
        count += 1
        yield Frame(index, time, image, name=item.name if isinstance(item, Path) else None)
    if not count:
        raise ImageError(f"{name} has no frames from {start:g} s on: it has {index + 1} in all")


def read_ahead(frames: Generator[Frame]) -> Generator[Frame]:
    """Yield frames that a thread reads while the consumer is busy with earlier ones."""
    queue: Queue[Frame | BaseException | None] = Queue(AHEAD)
    stopped = threading.Event()

    def put(item: Frame | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                queue.put(item, timeout=POLL_SECONDS)
            except Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            with closing(frames):
                for frame in frames:
                    if not put(frame):
                        return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=read, name="frames", daemon=True)
    thread.start()
    try:
        while True:
            try:  # in short waits, which signals interrupt
                item = queue.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
            del item
    finally:
        stopped.set()
        thread.join()
