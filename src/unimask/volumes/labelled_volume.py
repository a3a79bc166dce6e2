"""Labels of a volume that grow slice by slice, and the table of what they contain."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int, Integer
from scipy import ndimage

from unimask.labels import LabelSet, is_background
from unimask.results import Result

NEIGHBOURS = np.ones((3, 3, 3), bool)
"""Voxels that touch at a face, an edge or a corner are connected."""


@dataclass(frozen=True)
class VolumeStructure:
    """Class or object in a volume.

    Attributes:
        id: Number of the object from 1; None for a class.
        label: Name of the class.
        value: Value of the class in the map of classes.
        voxels: Number of voxels.
        ml: Volume in millilitres.
        components: Number of parts that are not connected, by faces, edges or corners.
        slices: First and last index along the axis of slicing.
        score: Mean score of the object's slices, 0 to 1; None for classes.
    """

    id: int | None
    label: str
    value: int
    voxels: int
    ml: float
    components: int
    slices: tuple[int, int]
    score: float | None = None


def class_values(labels: LabelSet) -> list[int]:
    """Return the value of each class in the map of classes; 0 stands for none and background.

    If the first class is the background, values are label ids, else label ids + 1.
    """
    start = 0 if is_background(labels.names[0]) else 1
    return [0 if is_background(name) else i + start for i, name in enumerate(labels.names)]


def smallest_dtype(largest: int) -> type[np.integer]:
    """Return the smallest dtype of label maps that tools read: uint8, uint16 or int32."""
    return np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.int32


@dataclass(eq=False)
class LabelPainter:
    """Maps of classes and objects, to which slices are added one after another.

    Attributes:
        labels: Classes.
        classes: Value of the class of each voxel, see `class_values`; slice, row, column.
        objects: Number of the object of each voxel, 0 for none; None for semantic results.
        scores: Sum and number of the scores of each object's slices, by its number.
        label_ids: Label id of each object, by its number; that of the slice with the most pixels.
    """

    labels: LabelSet
    classes: Integer[np.ndarray, "n h w"]
    objects: Int[np.ndarray, "n h w"] | None
    scores: dict[int, tuple[float, int]] = field(default_factory=dict)
    areas: dict[int, dict[int, int]] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)

    def add(self, position: int, result: Result) -> None:
        """Add the result of a slice, whose things have a `track_id` unless it is semantic."""
        values = np.array(class_values(self.labels))
        if self.objects is None:
            ids = result.segmentation
            self.classes[position] = np.where(ids < 0, 0, values[np.maximum(ids, 0)])
            return
        largest = max((segment.id for segment in result.segments), default=0)
        classes, objects = np.zeros(largest + 1, np.int32), np.zeros(largest + 1, np.int32)
        for segment in result.segments:
            classes[segment.id] = values[segment.label_id]
            if segment.is_thing and segment.track_id is not None:
                number = self.numbers.setdefault(segment.track_id, len(self.numbers) + 1)
                objects[segment.id] = number
                total, count = self.scores.get(number, (0.0, 0))
                self.scores[number] = (total + (segment.score or 0.0), count + 1)
                areas = self.areas.setdefault(number, {})
                areas[segment.label_id] = areas.get(segment.label_id, 0) + segment.area
        self.classes[position] = classes[result.segmentation]
        self.objects[position] = objects[result.segmentation]

    def label_id(self, number: int) -> int:
        """Return the class in which an object has the most pixels."""
        return max(self.areas[number], key=lambda label_id: self.areas[number][label_id])


def measure_classes(
    classes: Integer[np.ndarray, "i j k"], labels: LabelSet, voxel_ml: float, axis: int
) -> list[VolumeStructure]:
    """Measure each class that occurs, except for the background."""
    values = class_values(labels)
    boxes = ndimage.find_objects(classes)
    return [
        measure(classes, value, boxes[value - 1], (None, name, value), voxel_ml, axis)
        for name, value in zip(labels.names, values, strict=True)
        if 0 < value <= len(boxes) and boxes[value - 1] is not None
    ]


def measure_objects(
    objects: Integer[np.ndarray, "i j k"], painter: LabelPainter, voxel_ml: float, axis: int
) -> list[VolumeStructure]:
    """Measure each object; those hidden by others everywhere are left out."""
    values = class_values(painter.labels)
    found = []
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        if box is None:
            continue
        label_id = painter.label_id(number)
        named = (number, painter.labels.names[label_id], values[label_id])
        total, count = painter.scores[number]
        found.append(measure(objects, number, box, named, voxel_ml, axis, total / count))
    return found


def measure(
    array: Integer[np.ndarray, "i j k"],
    value: int,
    box: tuple[slice, slice, slice],
    named: tuple[int | None, str, int],
    voxel_ml: float,
    axis: int,
    score: float | None = None,
) -> VolumeStructure:
    """Measure the voxels of one value within their bounding box."""
    mask = array[box] == value
    voxels = int(np.count_nonzero(mask))
    components = int(ndimage.label(mask, NEIGHBOURS)[1])  # type: ignore[index]
    slices = (box[axis].start, box[axis].stop - 1)
    return VolumeStructure(*named, voxels, voxels * voxel_ml, components, slices, score)


def table_rows(structures: Sequence[VolumeStructure]) -> list[list[str]]:
    """Return structures as rows of text, with a header."""
    header = "kind id class value voxels volume_ml components first_slice last_slice score"
    rows = [[str(name) for name in header.split()]]
    for each in structures:
        kind, number = ("class", "") if each.id is None else ("object", str(each.id))
        score = "" if each.score is None else f"{each.score:.4f}"
        amounts = [str(each.value), str(each.voxels), f"{each.ml:.6g}", str(each.components)]
        rows.append([kind, number, each.label, *amounts, *map(str, each.slices), score])
    return rows
