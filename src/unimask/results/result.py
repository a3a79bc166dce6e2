"""Result of one image: its segments, and the formats to which they convert."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt8
from PIL import Image

from unimask.errors import OutputError
from unimask.formats.confidence_png import confidence_image
from unimask.formats.geojson import feature_collection, geojson_feature, geojson_properties
from unimask.formats.huggingface_segments import SegmentInfo, huggingface_result
from unimask.formats.labelme import labelme_file, labelme_shapes
from unimask.formats.outlines import OutlineStyle, outline_parts
from unimask.formats.output_folder import open_output_folder
from unimask.formats.panoptic_png import encode_ids, ids_to_image
from unimask.formats.supervision_detections import supervision_detections
from unimask.formats.yolo import yolo_line
from unimask.kernels.memory import release_freed_memory
from unimask.labels import LabelSet, Task, is_background
from unimask.results.confidence import ConfidenceSource, compute_confidence
from unimask.results.file_names import result_file_names
from unimask.results.segment import Candidate, Segment
from unimask.visualization.overlay import DrawnSegment, draw_overlay, paint_runs
from unimask.visualization.palette import class_colour

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Result:
    """Prediction for one image.

    `len(result)` is the number of segments.

    Attributes:
        task: Task that was predicted.
        size: Height and width of the image in pixels.
        labels: Classes of the network.
        segments: Predicted segments; instances are sorted by descending score.
        path: File of the image, if it was read from one.
        image: The image as RGB, if it was retained; of an image with other channels the first
            three, each scaled between its 0.1 and 99.9 percentiles.
        speed: Milliseconds per stage: "preprocess", "network" and "postprocess".
        candidates: Highest scores that were considered, if there are no segments.
        confidence_source: Data from which `confidence` is computed, if the result is a prediction.

    Example:
        >>> import numpy as np
        >>> from unimask.formats.run_length import RunLength
        >>> from unimask.labels import LabelSet
        >>> from unimask.results import Result, Segment
        >>> labels = LabelSet(("cell",), (True,))
        >>> rle = RunLength.from_mask(np.array([[True, True], [False, True]]))
        >>> segment = Segment.from_rle(labels, 0, rle, id=1, score=0.9)
        >>> result = Result("instance", (2, 2), labels, (segment,))
        >>> result.names, result.boxes.tolist()
        (('cell',), [[0.0, 0.0, 2.0, 2.0]])
        >>> result.segmentation
        array([[1, 1],
               [0, 1]], dtype=int32)
    """

    task: Task
    size: tuple[int, int]
    labels: LabelSet
    segments: tuple[Segment, ...]
    path: Path | None = None
    image: UInt8[np.ndarray, "h w 3"] | None = None
    speed: dict[str, float] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    confidence_source: ConfidenceSource | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.segments)

    @cached_property
    def segmentation(self) -> Int[np.ndarray, "h w"]:
        """Map of one id per pixel, int32.

        Panoptic: the segment's id, 0 for void. Semantic: the label id, -1 for unlabelled pixels.
        Instance: the segment's id, 0 for background; where masks overlap, the higher score is on
        top.
        """
        return np.ascontiguousarray(self.transposed_ids(np.int32).T)

    def transposed_ids(self, dtype: type[np.integer]) -> Integer[np.ndarray, "w h"]:
        """Compute `segmentation` in another dtype, transposed (columns as rows).

        Args:
            dtype: Integer dtype; in an unsigned one, -1 becomes the largest value.
        """
        empty = np.array(-1 if self.task == "semantic" else 0).astype(dtype)
        ids = np.full(self.size[::-1], empty, dtype)
        for segment in self.back_to_front():
            value = segment.label_id if self.task == "semantic" else segment.id
            paint_runs(ids, value, *segment.rle.runs)
        return ids

    def back_to_front(self) -> list[Segment]:
        """Return the segments in the order in which `segmentation` draws them."""
        return sorted(self.segments, key=lambda segment: segment.score or 0.0)

    @cached_property
    def confidence(self) -> Float[np.ndarray, "h w"]:
        """Confidence of every pixel in the segment that owns it, float32 from 0 to 1.

        Semantic: share of the pixel's class in the sum of its class scores, which are the sums over
        queries of class probability times mask probability; for networks that classify pixels, the
        softmax. Panoptic and instance: class probability of the query that won the pixel times its
        mask probability there. Pixels without a segment have 0.

        It is computed when it is first read, in blocks. For this, a result keeps mask logits where
        they vary: of panoptic and instance results at most 4 bytes per logit in the segments'
        boxes, which changes it by at most 2^-17; of semantic results at most 2 bytes per logit of
        every query, whose rounding changes it by up to 0.001. Trained networks need a tenth.

        Raises:
            SettingsError: The result is not a prediction, but was read from a file.
        """
        return compute_confidence(self.confidence_source, self.size, self.back_to_front())

    @property
    def masks(self) -> Bool[np.ndarray, "n h w"]:
        """All masks as one dense array; it takes n times h times w bytes."""
        if not self.segments:
            return np.zeros((0, *self.size), bool)
        return np.stack([segment.mask for segment in self.segments])

    @property
    def names(self) -> tuple[str, ...]:
        """Class name of each segment."""
        return tuple(segment.label for segment in self.segments)

    @property
    def label_ids(self) -> Int[np.ndarray, " n"]:
        """Label id of each segment, int64."""
        return np.array([segment.label_id for segment in self.segments], np.int64)

    @property
    def boxes(self) -> Float[np.ndarray, "n 4"]:
        """Box of each segment: x0, y0, x1, y1 in pixels."""
        return np.array([segment.box for segment in self.segments], np.float64).reshape(-1, 4)

    @property
    def scores(self) -> Float[np.ndarray, " n"]:
        """Score of each segment from 0 to 1; NaN for segments without a score."""
        return np.array([np.nan if s.score is None else s.score for s in self.segments], np.float64)

    def plot(self, *, legend: bool = True) -> Image.Image:
        """Draw the segments over the image, or over grey if the image was not retained.

        Classes have the colours of their label set, if it has any; objects have shades of them.
        """
        image = np.full((*self.size, 3), 96, np.uint8) if self.image is None else self.image
        return draw_overlay(image, self.drawn_segments(), legend=legend)

    def _repr_png_(self) -> bytes | None:
        """Return the drawing as PNG, which notebooks show."""
        return self.plot()._repr_png_()

    def drawn_segments(self) -> list[DrawnSegment]:
        """Return the segments as they are drawn; tracked objects have the number of their track."""
        return [
            DrawnSegment(
                *(s.label, s.label_id, s.is_thing and self.task != "semantic"),
                s.score,
                s.box,
                *s.rle.runs,
                dataset_colour=self.labels.colour(s.label_id),
                number=s.track_id,
            )
            for s in self.segments
        ]

    def show(self) -> None:
        """Open the drawing in the system's image viewer."""
        self.plot().show()

    def save(
        self, folder: str | Path, stem: str | None = None, *, confidence: bool = False
    ) -> dict[str, Path]:
        """Write the drawing, the id map and the segments to a folder.

        `STEM_overlay.png` is the drawing. `STEM_ids.png` is the id map: panoptic as COCO's RGB ids,
        semantic as label ids (8-bit, 255 for unlabelled pixels; from 255 classes on 16-bit and
        65535), instance as 16-bit ids. `STEM.json` holds `to_dict()`, with masks as COCO run
        lengths. `STEM_confidence.png` is `confidence` as a 16-bit image, 65535 for 1.

        Files that an earlier call wrote are replaced unless they were changed since. `unimask.json`
        lists the written files with their hashes; other files are left alone.

        Args:
            folder: A new or empty folder, or one to which results were written before.
            stem: Start of the file names, which may include subfolders ("left/001"); by default the
                name of the image without its suffix.
            confidence: Whether to write the confidence too.

        Returns:
            Paths of the written files, under "overlay", "ids", "json" and "confidence".

        Raises:
            OutputError: The folder holds files of others, or cannot be written to.
        """
        stem = stem or (self.path.stem if self.path else "result")
        names = result_file_names(stem, confidence)
        output = open_output_folder(folder)
        output.check(names.values())
        with output.new_file(names["overlay"]) as path:
            self.plot().save(path, compress_level=3)
        release_freed_memory(self.size[0] * self.size[1])
        with output.new_file(names["ids"]) as path:
            self.id_image().save(path, compress_level=3)
        release_freed_memory(self.size[0] * self.size[1])
        with output.new_file(names["json"]) as path:
            path.write_text(json.dumps(self.to_dict()))
        if confidence:
            with output.new_file(names["confidence"]) as path:
                confidence_image(self.confidence).save(path, compress_level=3)
        return {kind: Path(folder) / name for kind, name in names.items()}

    def id_image(self) -> Image.Image:
        """Convert the id map to an image, in the format that `save` describes.

        Raises:
            OutputError: There are more ids than the format can hold.
        """
        largest = max((s.id for s in self.segments), default=0)
        if self.task == "panoptic":
            return ids_to_image(self.transposed_ids(np.uint16 if largest < 2**16 else np.int32))
        if self.task == "semantic" and len(self.labels) < 255:
            return Image.fromarray(np.ascontiguousarray(self.transposed_ids(np.uint8).T))
        if (len(self.labels) if self.task == "semantic" else largest) > 65534:
            raise OutputError(f"{largest} ids do not fit into a 16-bit image: use to_coco()")
        return Image.fromarray(np.ascontiguousarray(self.transposed_ids(np.uint16).T))

    def to_dict(self) -> dict[str, object]:
        """Return everything except pixels as plain values; `track_id` only of tracked segments."""
        return {
            "task": self.task,
            "image": None if self.path is None else str(self.path),
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
                    **({} if s.track_id is None else {"track_id": s.track_id}),
                }
                for s in self.segments
            ],
        }

    def to_coco(self, image_id: int | str | None = None) -> list[dict[str, object]]:
        """Return the segments as COCO results, one entry per segment; boxes as x, y, width, height.

        `category_id` is the dataset's id of the class, or the label id if the dataset has none.

        Args:
            image_id: Id of the image in its dataset. By default the file name without its suffix,
                by which `unimask evaluate` finds the image, or 0 if it was not read from a file.
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
        """Return the result in COCO's panoptic format: an RGB image of ids, and `segments_info`.

        `category_id` is the one of `to_coco`.

        Where instances overlap, the higher score is on top; an instance that is fully covered is
        omitted.
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

    def to_geojson(self, outlines: OutlineStyle = "exact") -> dict[str, object]:
        """Return the segments as a GeoJSON feature collection, in pixels of the image.

        Args:
            outlines: "exact" for polygons along the edges of pixels, "simple" for few vertices.
        """
        features = [
            geojson_feature(
                s.rle,
                {"id": s.id}
                | geojson_properties(
                    label=s.label,
                    label_id=s.label_id,
                    is_thing=s.is_thing,
                    score=s.score,
                    area=s.area,
                    colour=class_colour(s.label_id, self.labels.colour(s.label_id)),
                ),
                outlines,
            )
            for s in self.segments
        ]
        name = None if self.path is None else self.path.name
        return feature_collection(features, image_name=name, size=self.size)

    def to_labelme(self, outlines: OutlineStyle = "simple") -> dict[str, object]:
        """Return the content of a LabelMe JSON file beside the image, without the background.

        Parts of a thing share a `group_id`; parts of stuff are shapes of their own. Holes are
        connected with the outline by bridges of zero width (see `labelme_shapes`).

        Args:
            outlines: "simple" for polygons of few vertices, "exact" for those of the pixels.
        """
        shapes = [
            shape
            for s in self.segments
            if s.is_thing or not is_background(s.label)
            for shape in labelme_shapes(
                s.label,
                s.rle,
                group_id=s.id if s.is_thing and self.task != "semantic" else None,
                score=s.score,
                outlines=outlines,
            )
        ]
        name = "image.png" if self.path is None else self.path.name
        return labelme_file(shapes, image_path=name, size=self.size)

    def to_yolo(self, outlines: OutlineStyle = "exact") -> str:
        """Return the segments as a YOLO label file: a line each, with the label id as class number.

        Parts and holes are connected by bridges of zero width (see `yolo_line`).

        Args:
            outlines: "exact" for polygons along the edges of pixels, "simple" for few vertices.
        """
        return "".join(
            yolo_line(s.label_id, outline_parts(s.rle, outlines), self.size)
            for s in self.segments
            if s.area
        )

    def to_supervision(self) -> Any:
        """Return the segments as `supervision.Detections`, with the names as `data["class_name"]`.

        `confidence` is None for semantic results.

        Raises:
            MissingExtraError: `supervision` is not installed.
        """
        return supervision_detections(
            boxes=self.boxes,
            masks=self.masks,
            scores=self.scores,
            label_ids=self.label_ids,
            names=self.names,
        )

    def to_transformers(self) -> "Tensor | dict[str, object]":
        """Return what the image processor of `transformers` returns for the task.

        Panoptic and instance: "segmentation" and "segments_info"; semantic: the map of label ids.
        See `huggingface_result` for dtypes and ids.
        """
        segments = [SegmentInfo(s.id, s.label_id, s.is_thing, s.score) for s in self.segments]
        return huggingface_result(self.task, self.segmentation, segments)
