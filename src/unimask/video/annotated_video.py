"""Annotated videos: frames with their segments, in colours that stay with each object."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from unimask.errors import OutputError
from unimask.labels import LabelSet
from unimask.video.decoding import import_av
from unimask.video.frame import TrackedFrame
from unimask.visualization.legend import Entry, Legend
from unimask.visualization.overlay import MIN_SIDE, choose_font_size, display_name, draw_overlay

CLOCK = 90_000
"""Units of time per second in the file."""

MAX_RATE = 60
"""Frames per second for which the encoder is set up; frames have their own times."""

CODECS = {
    "libx264": {"preset": "veryfast", "crf": "20", "threads": "1"},
    "mpeg4": {"qscale": "3", "threads": "1"},
}
"""Encoders with their options; the first that FFmpeg has is used."""

TALL = 10**6
"""Height for which a legend has room for all classes."""


class AnnotatedVideo:
    """MP4 of drawn frames, each shown from its own time on.

    Args:
        path: File to write.
        labels: Classes, whose longest name decides the width of the legend.
    """

    def __init__(self, path: Path, labels: LabelSet) -> None:
        av = import_av()
        encoders = [name for name in CODECS if name in av.codecs_available]
        if not encoders:
            raise OutputError("this FFmpeg encodes neither H.264 nor MPEG-4: leave the video out")
        self.labels = labels
        # The index is at the end; until then, fragments are readable.
        options = {"movflags": "hybrid_fragmented"}
        self.container = av.open(str(path), "w", format="mp4", options=options)
        self.stream = self.container.add_stream(
            encoders[0], rate=MAX_RATE, options=CODECS[encoders[0]]
        )
        self.stream.pix_fmt = "yuv420p"
        self.size: tuple[int, int] | None = None
        self.last_time = -1
        self.first_time: float | None = None

    def add(self, frame: TrackedFrame) -> None:
        """Draw and encode a frame."""
        av = import_av()
        drawing = self.draw(frame)
        if self.size is None:
            self.size = drawing.shape[0], drawing.shape[1]
            self.stream.height, self.stream.width = self.size
            self.stream.codec_context.time_base = Fraction(1, CLOCK)
        encoded = av.VideoFrame.from_ndarray(drawing, format="rgb24")
        self.first_time = frame.time if self.first_time is None else self.first_time
        time = max(round((frame.time - self.first_time) * CLOCK), self.last_time + 1)
        encoded.pts, encoded.time_base, self.last_time = time, Fraction(1, CLOCK), time
        self.container.mux(self.stream.encode(encoded))

    def draw(self, frame: TrackedFrame) -> UInt8[np.ndarray, "h w 3"]:
        """Draw a frame in the size of the first one; both sides are even, as encoders need."""
        height, width = frame.image.shape[:2]
        drawn = draw_overlay(
            frame.image,
            frame.result.drawn_segments(),
            legend_width=legend_width(self.labels, (height, width)),
        )
        pixels = np.asarray(drawn)
        size = self.size or (
            pixels.shape[0] + pixels.shape[0] % 2,
            pixels.shape[1] + pixels.shape[1] % 2,
        )
        if pixels.shape[:2] == size:
            return pixels
        board = np.zeros((*size, 3), np.uint8)
        rows, columns = min(size[0], pixels.shape[0]), min(size[1], pixels.shape[1])
        board[:rows, :columns] = pixels[:rows, :columns]
        return board

    def close(self) -> None:
        """Write what the encoder holds, and the index of the file."""
        if self.size is not None:
            self.container.mux(self.stream.encode(None))
        self.container.close()


def legend_width(labels: LabelSet, size: tuple[int, int]) -> int:
    """Return the width of a legend with room for every class.

    Args:
        labels: Classes.
        size: Height and width of the frames in pixels.
    """
    factor = max(1, round(MIN_SIDE / max(size)))
    font_size = choose_font_size((size[0] * factor, size[1] * factor))
    entries = [Entry((0, 0, 0), display_name(name), "100%") for name in labels.names]
    return Legend.fit(entries, TALL, font_size).width
