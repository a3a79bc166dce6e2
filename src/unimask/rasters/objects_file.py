"""File of finished objects, to which a run appends and from which its outputs are made."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unimask.formats.run_length import RunLength
from unimask.tiling.masks import PlacedMask
from unimask.tiling.seams import JoinedObject
from unimask.tiling.windows import TileWindow

HEADER = np.dtype(
    [
        ("label_id", "<i8"),
        ("score", "<f8"),
        ("order", "<i8"),
        ("is_cut", "<i8"),
        ("window", "<i8", 4),
        ("num_counts", "<i8"),
    ]
)
"""Fields before the run lengths of each object."""

COUNTS = np.dtype("<u4")


def encode_objects(objects: Iterable[JoinedObject]) -> bytes:
    """Return objects as bytes to append to a file."""
    parts = []
    for item in objects:
        counts = item.mask.rle.counts.astype(COUNTS)
        fields = (
            item.label_id,
            item.score,
            item.order,
            item.is_cut,
            tuple(item.mask.window),
            len(counts),
        )
        parts += [np.array(fields, HEADER).tobytes(), counts.tobytes()]
    return b"".join(parts)


class StoredObject(NamedTuple):
    """Object in a file.

    Attributes:
        label_id: Class.
        score: Score from 0 to 1.
        window: Box of the mask within the image.
        offset: Position of the run lengths in the file.
        num_counts: Number of run lengths.
    """

    label_id: int
    score: float
    window: TileWindow
    offset: int
    num_counts: int


class ObjectsFile:
    """Objects in a file, in descending order of score; their masks are read when needed.

    Args:
        path: File with the content of `encode_objects`.
    """

    def __init__(self, path: Path) -> None:
        self.stream = path.open("rb")
        self.num_cut = 0
        ranked = []
        end = path.stat().st_size
        while self.stream.tell() < end:
            header = np.frombuffer(self.stream.read(HEADER.itemsize), HEADER)[0]
            offset, num_counts = self.stream.tell(), int(header["num_counts"])
            self.stream.seek(num_counts * COUNTS.itemsize, 1)
            self.num_cut += int(header["is_cut"])
            score = float(header["score"])
            item = StoredObject(
                int(header["label_id"]),
                score,
                TileWindow(*header["window"].tolist()),
                offset,
                num_counts,
            )
            ranked.append((-score, int(header["order"]), item))
        ranked.sort(key=lambda entry: entry[:2])
        self.objects = [item for _, _, item in ranked]

    def read_mask(self, item: StoredObject) -> PlacedMask:
        """Read the mask of an object."""
        self.stream.seek(item.offset)
        data = self.stream.read(item.num_counts * COUNTS.itemsize)
        counts = np.frombuffer(data, COUNTS).astype(np.uint32)
        window = item.window
        return PlacedMask(window, RunLength((window.height, window.width), counts))

    def close(self) -> None:
        """Close the file."""
        self.stream.close()
