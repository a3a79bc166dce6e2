"""Frames of video files."""

import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

from unimask.errors import ImageError
from unimask.video.decoding import FrameDecoder, open_container, to_image
from unimask.video.frame import Frame, VideoWarning

SEEK_SECONDS = 10.0
"""Times of the first frame above which a file is not decoded from its beginning."""

MIN_SHARE = 0.98
"""Smallest share of the frames that a file declares below which it counts as cut off."""

MICROSECONDS = 1_000_000


def read_video(
    path: str, *, every: int = 1, start: float = 0.0, end: float | None = None
) -> Generator[Frame]:
    """Yield the frames of a video file, upright, with their times of display.

    Frames of variable rate have their own times. Damaged frames are left out and counted in a
    warning. If `start` is late, decoding begins at a key frame close to it, and the indices of
    frames follow from their times and the mean rate.

    Args:
        path: File.
        every: Yield every so many frames only.
        start: First time in seconds.
        end: Time in seconds from which on frames are left out; None for no end.

    Raises:
        ImageError: The file is damaged, encrypted, of changing size, or has no frames there.
    """
    shown_name = Path(path).name if "://" not in path else path
    with open_container(path, shown_name) as container:
        decoder = FrameDecoder(container, shown_name)
        is_complete = start <= SEEK_SECONDS
        if not is_complete:
            seek(decoder, start)
        size, index, count, time = None, -1, 0, -1.0
        for decoded in decoder.frames():
            previous, time = time, frame_time(decoder.stream, decoded, time)
            index = next_index(decoder.stream, index, time, is_complete)
            if end is not None and time >= end:
                is_complete = False
                break
            if time < start or index % every or time <= previous:
                continue
            image = to_image(decoded)
            size = check_size(shown_name, index, image.shape[:2], size)
            count += 1
            yield Frame(index, time, image)
        if not count:
            raise ImageError(explain_no_frames(shown_name, decoder, time, start, end))
        warn_about_damage(shown_name, decoder, index + 1 if is_complete else None)


def seek(decoder: FrameDecoder, start: float) -> None:
    """Go to the key frame before a time in seconds."""
    stream = decoder.stream
    offset = (stream.start_time or 0) + int(start / stream.time_base)
    decoder.container.seek(offset, stream=stream, backward=True)


def frame_time(stream: Any, decoded: Any, previous: float) -> float:
    """Return the time of a frame in seconds, which follows from the rate if it is not stored."""
    if decoded.pts is None or stream.time_base is None:
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        return previous + 1 / rate if previous >= 0 else 0.0
    return float((decoded.pts - (stream.start_time or 0)) * stream.time_base)


def next_index(stream: Any, previous: int, time: float, is_complete: bool) -> int:
    """Return the index of a frame after another one, -1 for none."""
    if previous >= 0 or is_complete:
        return previous + 1
    return max(0, round(time * float(stream.average_rate or stream.guessed_rate or 25)))


def check_size(
    name: str, index: int, size: tuple[int, ...], expected: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Return the size of a frame.

    Raises:
        ImageError: It differs from that of the frames before.
    """
    if expected is not None and size != expected:
        raise ImageError(
            f"{name}: frame {index} has {size[0]} x {size[1]} pixels, those before it "
            f"{expected[0]} x {expected[1]}: divide the video there, or scale it to one size"
        )
    return size


def explain_no_frames(
    name: str, decoder: FrameDecoder, last: float, start: float, end: float | None
) -> str:
    """Return the message about a video without frames."""
    if decoder.is_encrypted:
        return f"{name} is encrypted (DRM): only the unprotected video can be read"
    if last < 0 and decoder.num_damaged:
        return f"{name} has no frame that can be decoded: it is damaged; copy or export it again"
    if last < 0:
        return f"{name} has no frames: choose another file"
    until = "" if end is None else f" and before {end:g} s"
    return f"{name} has no frames from {start:g} s on{until}: it ends at {last:.2f} s"


def warn_about_damage(name: str, decoder: FrameDecoder, count: int | None) -> None:
    """Warn about damaged frames, and about a file that ends before the frames that it declares.

    Args:
        name: Name of the file.
        decoder: Decoder at its end.
        count: Number of frames of the file that were decoded; None if that is not known.
    """
    if decoder.num_damaged:
        warnings.warn(
            f"{name}: {decoder.num_damaged} damaged frames or parts were left out",
            VideoWarning,
            stacklevel=4,
        )
    rate = float(decoder.stream.average_rate or decoder.stream.guessed_rate or 0)
    seconds = (decoder.container.duration or 0) / MICROSECONDS
    declared = decoder.stream.frames or int(rate * seconds)
    if count is not None and count + decoder.num_damaged < MIN_SHARE * declared - 1:
        warnings.warn(
            f"{name} ends early: {count} of about {declared} frames could be read; copy it again",
            VideoWarning,
            stacklevel=4,
        )
