"""Tracked objects as MOTS text: frame, id, class, size and COCO's run lengths per line."""

from pathlib import Path

import numpy as np

from unimask.formats.run_length import RunLength, encode_id_map
from unimask.results import Result
from unimask.video.frame import TrackedFrame
from unimask.visualization.overlay import paint_runs


class MotsLines:
    """Text file in the format of MOTS (Voigtlaender et al. 2019).

    Ids are those of the tracks, and the id of a class is its label id + 1. Masks of a frame do not
    overlap: of two objects, the one with the higher score has the common pixels.

    Args:
        path: File to write.
    """

    def __init__(self, path: Path) -> None:
        self.stream = path.open("w", encoding="utf-8")
        self.number = 0

    def add(self, frame: TrackedFrame) -> None:
        """Write a line for each tracked object of a frame."""
        classes = {s.track_id: s.label_id + 1 for s in frame.result.segments}
        height, width = frame.result.size
        for id, rle in sorted(separate_masks(frame.result).items()):
            counts = rle.to_coco()["counts"]
            self.stream.write(f"{self.number} {id} {classes[id]} {height} {width} {counts}\n")
        self.number += 1
        self.stream.flush()

    def close(self) -> None:
        """Close the file."""
        self.stream.close()


def separate_masks(result: Result) -> dict[int, RunLength]:
    """Return the mask of each track of things without overlaps; hidden ones are left out."""
    ids = np.zeros(result.size[::-1], np.int32)
    for segment in result.back_to_front():
        if segment.is_thing and segment.track_id is not None:
            paint_runs(ids, segment.track_id, *segment.rle.runs)
    return encode_id_map(ids.T)
