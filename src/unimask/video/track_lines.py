"""Tracked results as JSON lines: one frame per line, masks as COCO's run lengths."""

import json
from pathlib import Path
from typing import Any

from unimask.video.frame import TrackedFrame


def frame_record(frame: TrackedFrame) -> dict[str, Any]:
    """Return a frame as plain values: index, time, size and segments with their `track_id`."""
    segments: Any = frame.result.to_dict()["segments"]
    record: dict[str, Any] = {"frame": frame.index, "time": round(frame.time, 6)}
    if frame.name is not None:
        record["name"] = frame.name
    if frame.age is not None:
        record["age"] = round(frame.age, 3)
    return record | {
        "task": frame.result.task,
        "size": list(frame.result.size),
        "segments": [{"track_id": None} | segment for segment in segments],
    }


class TrackLines:
    """File of JSON lines.

    Args:
        path: File to write.
    """

    def __init__(self, path: Path) -> None:
        self.stream = path.open("w", encoding="utf-8")

    def add(self, frame: TrackedFrame) -> None:
        """Write the line of a frame."""
        self.stream.write(json.dumps(frame_record(frame)) + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Close the file."""
        self.stream.close()
