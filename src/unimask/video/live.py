"""Live sources: a thread receives all frames and keeps the newest one only."""

import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

from unimask.errors import ImageError, one_line
from unimask.video.decoding import FrameDecoder, import_av, open_container, to_image
from unimask.video.frame import Frame, VideoWarning
from unimask.video.video_file import check_size

FIRST_DELAY, MAX_DELAY = 0.5, 10.0
"""Seconds before the first attempt to connect again, doubled up to the maximum."""

OPEN_SECONDS, READ_SECONDS = 10.0, 5.0
"""Seconds after which connecting and reading are given up."""

POLL_SECONDS = 0.2
"""Seconds between checks of a waiting consumer, which signals interrupt."""

Connect = Callable[[], Iterator[Any]]
"""Function that connects to a source and returns its frames until the connection ends."""


class NewestFrame:
    """Receiver of a live source in a thread of its own; older frames are dropped.

    A source that nobody reads fills buffers, so that its frames become older and older. After a
    lost connection, the thread connects again, with increasing delays.

    Args:
        connect: Function that connects to the source.
        name: Name of the source in messages.
        patience: Seconds without a frame after which the source counts as lost.
    """

    def __init__(self, connect: Connect, name: str, patience: float) -> None:
        self.connect, self.name, self.patience = connect, name, patience
        self.condition = threading.Condition()
        self.newest: tuple[int, float, Any] | None = None
        self.count = 0
        self.last_received = time.monotonic()
        self.problem: Exception | None = None
        self.is_stopped = False
        self.thread = threading.Thread(target=self.receive, name="frames", daemon=True)
        self.thread.start()

    def receive(self) -> None:
        """Receive frames until the receiver is closed; connect again whenever they end."""
        delay = FIRST_DELAY
        while not self.is_stopped:
            before = self.count
            try:
                self.receive_connection()
            except Exception as error:  # whatever a driver or protocol raises
                self.problem = error
            if self.is_stopped or not self.count:  # a source that never worked is an error
                break
            if self.count > before:
                delay = FIRST_DELAY
                reason = "it ended" if self.problem is None else one_line(self.problem)
                warnings.warn(
                    f"{self.name} was lost ({reason}): connecting again", VideoWarning, stacklevel=2
                )
            with self.condition:
                self.condition.wait_for(lambda: self.is_stopped, delay)
            delay = min(2 * delay, MAX_DELAY)
        with self.condition:
            self.is_stopped = True
            self.condition.notify_all()

    def receive_connection(self) -> None:
        """Receive the frames of one connection."""
        self.problem = None
        for frame in self.connect():
            with self.condition:
                if self.is_stopped:
                    return
                self.last_received = time.monotonic()
                self.newest = (self.count, self.last_received, frame)
                self.count += 1
                self.condition.notify_all()

    def take(self) -> tuple[int, float, Any]:
        """Wait for a frame that was not taken yet; return its number, time of arrival and itself.

        Raises:
            ImageError: The source cannot be opened, or was lost for longer than `patience`.
        """
        waiting_since = time.monotonic()
        with self.condition:
            while self.newest is None:
                silent = time.monotonic() - max(self.last_received, waiting_since)
                if self.is_stopped or silent > self.patience:
                    raise ImageError(self.explain(silent))
                self.condition.wait(POLL_SECONDS)
            newest, self.newest = self.newest, None
            return newest

    def explain(self, silent: float) -> str:
        """Return the message about a source without frames."""
        if isinstance(self.problem, ImageError):
            reason = str(self.problem)
            return reason if not self.count else f"{reason} (no frame for {silent:.0f} s)"
        reason = "" if self.problem is None else f" ({one_line(self.problem)})"
        if not self.count:
            return f"{self.name} delivers no frames{reason}: check the source"
        return f"{self.name} was lost: no frame for {silent:.0f} s{reason}"

    def close(self) -> None:
        """Stop the thread."""
        with self.condition:
            self.is_stopped = True
            self.condition.notify_all()
        self.thread.join(READ_SECONDS)


def read_live(
    connect: Connect,
    name: str,
    *,
    every: int = 1,
    end: float | None = None,
    patience: float = 60.0,
    convert: Callable[[Any], Any] = to_image,
) -> Generator[Frame]:
    """Yield the newest frame of a live source whenever one is requested.

    Args:
        connect: Function that connects to the source.
        name: Name of the source in messages.
        every: Yield every so many of the frames that would be yielded.
        end: Seconds after which to stop; None for no end.
        patience: Seconds without a frame after which the source counts as lost.
        convert: Function from a received frame to an RGB image; only those that are yielded are
            converted.

    Raises:
        ImageError: The source cannot be opened, or is lost, or its size changes.
    """
    with closing(NewestFrame(connect, name, patience)) as source:
        first, size, taken = None, None, 0
        while True:
            index, received, frame = source.take()
            first = received if first is None else first
            if end is not None and received - first >= end:
                return
            taken += 1
            if (taken - 1) % every:
                continue
            image = convert(frame)
            size = check_size(name, index, image.shape[:2], size)
            yield Frame(index, received - first, image, received)


def connect_stream(address: str, shown_name: str, arguments: dict[str, Any]) -> Iterator[Any]:
    """Connect to an address or a camera and yield its frames.

    Args:
        address: What FFmpeg opens.
        shown_name: Name in messages, without passwords.
        arguments: Keyword arguments of `av.open`.

    Raises:
        ImageError: It cannot be opened.
    """
    limits = (OPEN_SECONDS, READ_SECONDS)
    av = import_av()
    with open_container(address, shown_name, timeout=limits, **arguments) as container:
        try:
            yield from FrameDecoder(container, shown_name).frames()
        except av.error.FFmpegError as error:
            raise ImageError(f"{shown_name} was lost ({error.strerror})") from None
