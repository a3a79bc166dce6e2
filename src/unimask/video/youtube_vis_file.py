"""Tracked objects as YouTube-VIS JSON, which lists the masks of each object in all frames.

The format needs all masks of a track together. They wait in a database file, so that the memory
does not depend on the length of the video.
"""

import json
import sqlite3
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from unimask.labels import LabelSet
from unimask.video.frame import TrackedFrame

VIDEO_ID = 1

COLUMNS = "track, frame, label, score, counts, area, x, y, width, height"


class YoutubeVisFile:
    """JSON with one video, its frames, classes and tracks of things.

    The class of a track is the one with the largest sum of scores, and its score the mean over
    its frames. The list under `annotations` is also a list of results as evaluators read it.

    Args:
        path: File to write.
        spool: File for the masks until the end; removed by the caller.
        name: Name of the video, the folder of its frames.
        labels: Classes.
    """

    def __init__(self, path: Path, spool: Path, name: str, labels: LabelSet) -> None:
        self.path, self.name, self.labels = path, name, labels
        self.database = sqlite3.connect(spool, check_same_thread=False)
        self.database.execute("PRAGMA journal_mode = OFF")
        self.database.execute(f"CREATE TABLE masks ({COLUMNS})")
        self.database.execute("CREATE TABLE frames (name)")
        self.size = (0, 0)
        self.length = 0

    def add(self, frame: TrackedFrame) -> None:
        """Store the masks of a frame."""
        name = frame.name or f"{frame.index:06d}.jpg"
        self.database.execute("INSERT INTO frames VALUES (?)", (f"{self.name}/{name}",))
        rows = []
        for s in frame.result.segments:
            if s.track_id is not None and (s.is_thing or frame.result.task == "semantic"):
                x0, y0, x1, y1 = s.box
                score = 1.0 if s.score is None else s.score
                counts = s.rle.to_coco()["counts"]
                box = (x0, y0, x1 - x0, y1 - y0)
                rows.append((s.track_id, self.length, s.label_id, score, counts, s.area, *box))
        marks = ", ".join("?" * len(COLUMNS.split(",")))
        self.database.executemany(f"INSERT INTO masks VALUES ({marks})", rows)
        self.database.commit()
        self.size = frame.result.size
        self.length += 1

    def close(self) -> None:
        """Write the file from the stored masks."""
        height, width = self.size
        names = [row[0] for row in self.database.execute("SELECT name FROM frames")]
        video = {
            "id": VIDEO_ID,
            "width": width,
            "height": height,
            "length": self.length,
            "file_names": names,
        }
        categories = [
            {"id": self.labels.category_id(index), "name": name}
            for index, name in enumerate(self.labels.names)
        ]
        with self.path.open("w", encoding="utf-8") as stream:
            stream.write(f'{{"videos": [{json.dumps(video)}],\n"categories": ')
            stream.write(json.dumps(categories) + ',\n"annotations": [')
            for number, annotation in enumerate(self.annotations()):
                stream.write((",\n" if number else "\n") + json.dumps(annotation))
            stream.write("\n]}\n")
        self.database.close()

    def annotations(self) -> Iterator[dict[str, Any]]:
        """Yield the annotation of each track, ordered by id."""
        height, width = self.size
        rows = self.database.execute(f"SELECT {COLUMNS} FROM masks ORDER BY track, frame")
        for track, group in groupby(rows, key=lambda row: row[0]):
            masks: dict[str, list[Any]] = {
                key: [None] * self.length for key in ("segmentations", "areas", "bboxes")
            }
            scores: dict[int, float] = {}
            count = 0
            for _, frame, label, score, counts, area, *box in group:
                masks["segmentations"][frame] = {"size": [height, width], "counts": counts}
                masks["areas"][frame], masks["bboxes"][frame] = area, box
                scores[label] = scores.get(label, 0.0) + score
                count += 1
            label = max(scores, key=lambda key: scores[key])
            yield {
                "id": track,
                "video_id": VIDEO_ID,
                "category_id": self.labels.category_id(label),
                "score": round(sum(scores.values()) / count, 6),
                "iscrowd": 0,
                "height": height,
                "width": width,
                "length": self.length,
                **masks,
            }
