"""What a prediction is: segments with names, and every form that users ask of them."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt8
from PIL import Image

from unimask.errors import OutputError
from unimask.formats.output_folder import output_folder
from unimask.formats.panoptic_png import encode_ids, ids_to_image
from unimask.formats.run_length import RunLength
from unimask.kernels.memory import release_freed_memory
from unimask.labels import LabelSet, Task
from unimask.visualization.overlay import Shape, draw_overlay, paint_runs


@dataclass(frozen=True, eq=False)
class Segment:
    """One region with a class.

    Attributes:
        id: Number within the result, from 1.
        label: Name of its class.
        label_id: Index of its class.
        is_thing: True for an object that is counted, False for stuff.
        score: Confidence from 0 to 1; None for semantic segments.
        area: Pixels.
        box: x0, y0, x1, y1 in pixels around the mask, ends exclusive.
        rle: The mask.
    """

    id: int
    label: str
    label_id: int
    is_thing: bool
    score: float | None
    area: int
    box: tuple[float, float, float, float]
    rle: RunLength

    @classmethod
    def of(
        cls, labels: LabelSet, label_id: int, rle: RunLength, *, id: int, score: float | None
    ) -> "Segment":
        """Make a segment from its mask; area and box follow from it."""
        return cls(
            id=id,
            label=labels.names[label_id],
            label_id=label_id,
            is_thing=labels.is_thing[label_id],
            score=score,
            area=rle.area,
            box=rle.box,
            rle=rle,
        )

    @property
    def mask(self) -> Bool[np.ndarray, "h w"]:
        """The pixels, at the picture's size."""
        return self.rle.to_mask()


class Candidate(NamedTuple):
    """A class with the score of an object or region that was not found."""

    label: str
    score: float


@dataclass(frozen=True, eq=False)
class Result:
    """What the network found in one picture.

    Attributes:
        task: What was asked.
        size: Height and width of the picture.
        labels: All classes that could have been found.
        segments: What was found; for instance best first.
        path: The picture's file, if it came from one.
        image: The picture, RGB, if kept; where it has other channels, the first three, each
            scaled between its own 0.1 and 99.9 percentiles.
        speed: Milliseconds per stage: preprocess, network, postprocess.
        candidates: Where nothing was found, the highest scores that were considered.
    """

    task: Task
    size: tuple[int, int]
    labels: LabelSet
    segments: tuple[Segment, ...]
    path: Path | None = None
    image: UInt8[np.ndarray, "h w 3"] | None = None
    speed: dict[str, float] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()

    def __len__(self) -> int:
        return len(self.segments)

    @cached_property
    def segmentation(self) -> Int[np.ndarray, "h w"]:
        """One number per pixel, int32.

        Panoptic: the segment's id, 0 for void. Semantic: the label id, -1 for none. Instance:
        the segment's id, 0 for none, the higher score on top where masks overlap.
        """
        return np.ascontiguousarray(self.transposed_ids(np.int32).T)

    def transposed_ids(self, kind: type[np.integer]) -> Integer[np.ndarray, "w h"]:
        """Compute `segmentation` in a smaller type, with the columns as rows.

        Args:
            kind: Of the numbers; -1 becomes the largest of an unsigned one.
        """
        nobody = np.array(-1 if self.task == "semantic" else 0).astype(kind)
        ids = np.full(self.size[::-1], nobody, kind)
        for segment in sorted(self.segments, key=lambda segment: segment.score or 0.0):
            value = segment.label_id if self.task == "semantic" else segment.id
            paint_runs(ids, value, *segment.rle.runs)
        return ids

    @property
    def masks(self) -> Bool[np.ndarray, "n h w"]:
        """All masks, dense: n times the picture's pixels in bytes."""
        if not self.segments:
            return np.zeros((0, *self.size), bool)
        return np.stack([segment.mask for segment in self.segments])

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each segment's class."""
        return tuple(segment.label for segment in self.segments)

    @property
    def label_ids(self) -> Int[np.ndarray, " n"]:
        """The label id of each segment."""
        return np.array([segment.label_id for segment in self.segments], np.int64)

    @property
    def boxes(self) -> Float[np.ndarray, "n 4"]:
        """The box of each segment: x0, y0, x1, y1 in pixels."""
        boxes = [segment.box for segment in self.segments]
        return np.array(boxes, np.float64).reshape(-1, 4)

    @property
    def scores(self) -> Float[np.ndarray, " n"]:
        """The score of each segment; NaN where there is none."""
        scores = [np.nan if s.score is None else s.score for s in self.segments]
        return np.array(scores, np.float64)

    def plot(self, *, legend: bool = True) -> Image.Image:
        """Draw the segments over the picture, or over grey where the picture was not kept.

        Classes have the colours of their label set, where it has any; objects vary around them.
        """
        image = self.image
        if image is None:
            image = np.full((*self.size, 3), 96, np.uint8)
        shapes = [
            Shape(
                s.label,
                s.label_id,
                s.is_thing and self.task != "semantic",
                s.score,
                s.box,
                *s.rle.runs,
                given=self.labels.colour(s.label_id),
            )
            for s in self.segments
        ]
        return draw_overlay(image, shapes, legend=legend)

    def show(self) -> None:
        """Open the drawing in the system's viewer."""
        self.plot().show()

    def save(self, folder: str | Path, stem: str | None = None) -> dict[str, Path]:
        """Write the drawing, the id map and the segments.

        `STEM_overlay.png` is the drawing. `STEM_ids.png` is the id map: panoptic as COCO's RGB
        ids, semantic as label id (8-bit, 255 for none; 16-bit and 65535 from 255 classes on),
        instance as 16-bit ids. `STEM.json` holds task, size, labels, speed and per segment id,
        label, label_id, category_id, is_thing, score, area, box and the mask as COCO run lengths.

        Files of an earlier call are replaced if they are as they were written. `unimask.json`
        lists them with their hashes; all other files stay.

        Args:
            folder: New, empty, or one that results were written to before.
            stem: Start of the names, which may lie in subfolders ("left/001"); the image's own
                by default.

        Returns:
            The paths written, under "overlay", "ids" and "json".

        Raises:
            OutputError: The folder holds other files, or cannot be written to.
        """
        names = result_names(stem or (self.path.stem if self.path else "result"))
        place = output_folder(folder)
        place.check(names.values())
        with place.writing(names["overlay"]) as path:
            self.plot().save(path, compress_level=3)
        release_freed_memory(self.size[0] * self.size[1])
        with place.writing(names["ids"]) as path:
            self.id_picture().save(path, compress_level=3)
        release_freed_memory(self.size[0] * self.size[1])
        with place.writing(names["json"]) as path:
            path.write_text(json.dumps(self.to_dict()))
        return {kind: Path(folder) / name for kind, name in names.items()}

    def id_picture(self) -> Image.Image:
        """Draw the id map, in the form that `save` describes.

        Raises:
            OutputError: There are more ids than the form has.
        """
        largest = max((s.id for s in self.segments), default=0)
        if self.task == "panoptic":
            return ids_to_image(self.transposed_ids(np.uint16 if largest < 2**16 else np.int32))
        if self.task == "semantic" and len(self.labels) < 255:
            return Image.fromarray(np.ascontiguousarray(self.transposed_ids(np.uint8).T))
        if (len(self.labels) if self.task == "semantic" else largest) > 65534:
            raise OutputError(f"{largest} ids do not fit into a 16-bit picture: use to_coco()")
        return Image.fromarray(np.ascontiguousarray(self.transposed_ids(np.uint16).T))

    def to_dict(self) -> dict[str, object]:
        """Give everything but pixels as plain values, ready for JSON."""
        return {
            "task": self.task,
            "picture": None if self.path is None else str(self.path),
            "size": list(self.size),
            "labels": list(self.labels.names),
            "is_thing": list(self.labels.is_thing),
            "speed": {stage: round(ms, 3) for stage, ms in self.speed.items()},
            "segments": [
                {
                    "id": s.id,
                    "label": s.label,
                    "label_id": s.label_id,
                    "category_id": self.labels.category_id(s.label_id),
                    "is_thing": s.is_thing,
                    "score": None if s.score is None else round(s.score, 6),
                    "area": s.area,
                    "box": list(s.box),
                    "rle": s.rle.to_coco(),
                }
                for s in self.segments
            ],
        }

    def to_coco(self, image_id: int | str | None = None) -> list[dict[str, object]]:
        """Return COCO results: one entry per segment; box as x, y, width, height.

        `category_id` is the number that the dataset of the model's training gives the class, its
        label id where the dataset gives none.

        Args:
            image_id: The image's id in its dataset. By default the name of its file without the
                suffix, which `unimask evaluate` finds it by, or 0 if it came from no file.
        """
        if image_id is None:
            image_id = self.path.stem if self.path else 0
        return [
            {
                "image_id": image_id,
                "category_id": self.labels.category_id(s.label_id),
                "segmentation": s.rle.to_coco(),
                "score": 1.0 if s.score is None else s.score,
                "bbox": [s.box[0], s.box[1], s.box[2] - s.box[0], s.box[3] - s.box[1]],
                "area": s.area,
            }
            for s in self.segments
        ]

    def to_panoptic(self) -> tuple[UInt8[np.ndarray, "h w 3"], list[dict[str, object]]]:
        """Return COCO panoptic: the RGB image of ids, and its `segments_info`.

        `category_id` is that of `to_coco`.

        Where instances overlap, the higher score is on top, and one wholly covered is left out.
        """
        ids = self.segmentation + (1 if self.task == "semantic" else 0)
        visible = set(np.unique(ids).tolist())
        info: list[dict[str, object]] = [
            {
                "id": s.id,
                "category_id": self.labels.category_id(s.label_id),
                "isthing": int(s.is_thing),
                "area": int((ids == s.id).sum()),
                "score": s.score,
            }
            for s in self.segments
            if s.id in visible
        ]
        return encode_ids(ids), info


def result_names(stem: str) -> dict[str, str]:
    """Return the names of the files that `Result.save` writes."""
    return {"overlay": f"{stem}_overlay.png", "ids": f"{stem}_ids.png", "json": f"{stem}.json"}
