"""Frames of videos, and how they are read."""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from jaxtyping import UInt8

from unimask.errors import UnimaskWarning
from unimask.results import Result

DEFAULT_RATE = 25.0
"""Frames per second of folders of frames, unless given."""


class VideoWarning(UnimaskWarning):
    """Warning about frames that cannot be read, and about sources that were lost."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Frame of a video.

    Attributes:
        index: Number of the frame in its source, from 0, frames that were not yielded included.
        time: Time in seconds since the first frame of the source.
        image: RGB image, upright.
        received: Time (`time.monotonic`) when a live source delivered the frame; None otherwise.
        name: Name of the frame's file, if it has its own.
    """

    index: int
    time: float
    image: UInt8[np.ndarray, "h w 3"]
    received: float | None = None
    name: str | None = None


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """Frame with its result.

    Attributes:
        index: Number of the frame in its source, from 0, frames that were not segmented included.
        time: Time in seconds since the first frame of the source.
        image: RGB image.
        result: Result, whose segments have a `track_id`.
        age: Seconds between the arrival of a live frame and its result; None otherwise.
        name: Name of the frame's file, if it has its own.
    """

    index: int
    time: float
    image: UInt8[np.ndarray, "h w 3"]
    result: Result
    age: float | None = None
    name: str | None = None


class FrameOptions(TypedDict, total=False):
    """Keyword arguments of `Predictor.track` that choose the frames.

    Attributes:
        every: Segment every so many frames only.
        start: First time in seconds.
        end: Time in seconds from which on frames are left out; None for no end.
        rate: Frames per second of a folder of frames or of an iterator.
        live: Whether the source delivers frames on its own clock, so that only the newest is
            segmented; by default true for cameras and for addresses of streams.
        patience: Seconds without a frame after which a live source counts as lost.
    """

    every: int
    start: float
    end: float | None
    rate: float
    live: bool | None
    patience: float
