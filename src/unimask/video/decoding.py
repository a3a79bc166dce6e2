"""Decoding of videos by FFmpeg (PyAV), with the errors of damaged and unsuitable files."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from unimask.errors import ImageError, one_line
from unimask.extras import import_extra

QUARTER_TURN = 90


def import_av() -> Any:
    """Import PyAV.

    Raises:
        MissingExtraError: It is not installed.
    """
    return import_extra("av", "video")


def open_container(name: str, shown_name: str, **arguments: Any) -> Any:
    """Open a file or address.

    Args:
        name: What FFmpeg opens.
        shown_name: Name in messages, without passwords.
        arguments: Keyword arguments of `av.open`.

    Raises:
        ImageError: It is missing or damaged, or no video.
    """
    av = import_av()
    try:
        return av.open(name, metadata_errors="replace", **arguments)
    except av.error.InvalidDataError:
        raise ImageError(
            f"{shown_name} is no video that FFmpeg can read, or its end is missing: copy or export "
            "it again"
        ) from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise ImageError(f"{shown_name} cannot be opened ({reason}): check the source") from None


def find_stream(container: Any, shown_name: str) -> Any:
    """Return the video stream of a container.

    Raises:
        ImageError: It has none; cover images do not count.
    """
    av = import_av()
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams}) or ["no streams"]
        raise ImageError(f"{shown_name} has no video, only {', '.join(kinds)}: choose another file")
    stream = streams[0]
    stream.thread_type = "AUTO"
    return stream


class FrameDecoder:
    """Decoder of the frames of one stream, which skips those that are damaged.

    Args:
        container: Opened container.
        shown_name: Name in messages.

    Attributes:
        num_damaged: Number of packets and frames that could not be decoded.
        is_encrypted: Whether the file is encrypted.
    """

    def __init__(self, container: Any, shown_name: str) -> None:
        self.container = container
        self.stream = find_stream(container, shown_name)
        self.num_damaged = 0
        self.is_encrypted = False

    def frames(self) -> Iterator[Any]:
        """Yield PyAV's frames in the order of display."""
        av = import_av()
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.InvalidDataError:
                self.num_damaged += 1
                return
            self.is_encrypted = self.is_encrypted or packet.has_sidedata("encryption_info")
            try:
                decoded = packet.decode()
            except av.error.InvalidDataError:
                self.num_damaged += 1
                continue
            for frame in decoded:
                if frame.is_corrupt:
                    self.num_damaged += 1
                else:
                    yield frame


def to_image(frame: Any) -> UInt8[np.ndarray, "h w 3"]:
    """Convert a frame to an upright RGB image."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / QUARTER_TURN) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
