"""File of finished rows of a label map, to which a run appends."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int16

HEADER = np.dtype([("height", "<i8"), ("num_bytes", "<i8")])
"""Fields before the compressed labels of each strip."""

LEVEL = 1
"""Level of compression."""


def encode_strip(labels: Int[np.ndarray, "h w"]) -> bytes:
    """Return rows of a label map as bytes to append to a file."""
    data = zlib.compress(labels.astype("<i2").tobytes(), LEVEL)
    return np.array((len(labels), len(data)), HEADER).tobytes() + data


def read_strips(path: Path, width: int) -> Iterator[Int16[np.ndarray, "h w"]]:
    """Yield the strips of a file from top to bottom."""
    with path.open("rb") as stream:
        while header := stream.read(HEADER.itemsize):
            height, num_bytes = np.frombuffer(header, HEADER)[0].tolist()
            data = zlib.decompress(stream.read(num_bytes))
            yield np.frombuffer(data, "<i2").reshape(height, width)


def regroup_rows(
    strips: Iterator[Int16[np.ndarray, "_ w"]], height: int
) -> Iterator[Int16[np.ndarray, "h w"]]:
    """Yield strips of a height in pixels, the last of which may be lower."""
    waiting: list[np.ndarray] = []
    count = 0
    for strip in strips:
        waiting.append(strip)
        count += len(strip)
        while count >= height:
            rows = np.concatenate(waiting)
            yield rows[:height]
            waiting, count = [rows[height:]], count - height
    if count:
        yield np.concatenate(waiting)


class StripBuffer:
    """Rows of a label map that are being filled.

    Args:
        width: Width of the image in pixels.
        void: Value of pixels that are not filled.
    """

    def __init__(self, width: int, void: int) -> None:
        self.void = void
        self.row = 0
        self.labels = np.zeros((0, width), np.int16)

    def start(self, row: int, bottom: int) -> None:
        """Begin rows of the image, up to `bottom`."""
        self.row = row
        self.labels = np.full((bottom - row, self.labels.shape[1]), self.void, np.int16)

    def write(self, window: tuple[int, int, int, int], block: Int[np.ndarray, "h w"]) -> None:
        """Write a block of labels at a window of the image."""
        row, column, height, width = window
        top = row - self.row
        self.labels[top : top + height, column : column + width] = block
