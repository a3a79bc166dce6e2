"""Store the objects of many images in few arrays, and rasterise them on demand."""

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from unimask.datasets.objects.outlines import (
    Fill,
    Mask,
    Rasterise,
    fill_polygons,
    rasterise_polygons,
)
from unimask.errors import DataError
from unimask.formats.run_length import RunLength

FIFTHS = 5
"""Steps per pixel in which COCO's rasteriser rounds coordinates, and the precision stored here."""

MAX_OUTSIDE_SHARE = 0.1
"""Maximum share of the longer side by which an object may extend beyond the image; that part is
clipped."""

MIN_RELATIVE_OUTLINES, MAX_TINY_SIDE = 2, 16
"""Minimum number of outlines that show, by all lying within the first pixel of images with longer
sides than this, that their coordinates are shares of the sides."""

DescribeObject = Callable[[int, int], str]
"""Function that names an object in messages, from its image's number and its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """Objects of all images, at about 4 bytes per coordinate.

    Attributes:
        sizes: Height and width of each image, 0 if the labels do not state it.
        label_ids: Label id of each object.
        crowds: Whether each object is a crowd, which stands for several objects.
        depths: Depth of each object; where objects overlap, the greater depth is behind.
        areas: Area of each object as stated in the file, in pixels; NaN if not stated.
        numbers: Number of each object in the file.
        order: Indices of the objects, sorted by image.
        first_object: Start of each image's objects in `order`; one more entry marks the end.
        values: Coordinates x and y of polygons in fifths of a pixel; height, width and counts of
            run lengths.
        part_starts: Start of each part (a polygon, or the run lengths of one mask) in `values`.
        first_part: Start of each object's parts in `part_starts`; one more entry marks the end.
        is_run_length: Whether each object is stored as run lengths.
        fills: Fill rule of each object's polygons.
        rasterise: Function that rasterises polygons.
    """

    sizes: Int[np.ndarray, "k 2"]
    label_ids: Int[np.ndarray, " n"]
    crowds: Bool[np.ndarray, " n"]
    depths: Int[np.ndarray, " n"]
    areas: Float[np.ndarray, " n"]
    numbers: Int[np.ndarray, " n"]
    order: Int[np.ndarray, " n"]
    first_object: Int[np.ndarray, " p"]
    values: Int[np.ndarray, " v"]
    part_starts: Int[np.ndarray, " q"]
    first_part: Int[np.ndarray, " m"]
    is_run_length: Bool[np.ndarray, " n"]
    fills: Int[np.ndarray, " n"]
    rasterise: Rasterise = rasterise_polygons

    def objects_of_image(self, image: int) -> Int[np.ndarray, " k"]:
        """Return the indices of an image's objects."""
        return self.order[self.first_object[image] : self.first_object[image + 1]]

    def digest(self, image: int) -> str:
        """Compute a digest of an image's objects, whatever their numbers in the file."""
        objects = self.objects_of_image(image)
        digest = hashlib.blake2b(self.sizes[image].tobytes(), digest_size=8)
        for column in (self.label_ids, self.crowds, self.depths, self.areas, self.is_run_length):
            digest.update(column[objects].tobytes())
        if self.fills[objects].any():
            digest.update(self.fills[objects].tobytes())
        for first, end in zip(self.first_part[objects], self.first_part[objects + 1], strict=True):
            starts = self.part_starts[first : end + 1]
            digest.update((starts - starts[0]).tobytes())
            digest.update(self.values[starts[0] : starts[-1]].tobytes())
        return digest.hexdigest()

    def part_values(self, index: int) -> Int[np.ndarray, " k"]:
        """Return the values of one part."""
        return self.values[self.part_starts[index] : self.part_starts[index + 1]]

    def mask(self, index: int, size: tuple[int, int]) -> RunLength:
        """Rasterise one object, with exactly the pixels of pycocotools, or of the labelling tool.

        Args:
            index: Index of the object.
            size: Height and width of its image.

        Raises:
            DataError: The run lengths belong to an image of another size.
            MissingExtraError: The extra `train` is not installed.
        """
        first, end = int(self.first_part[index]), int(self.first_part[index + 1])
        if self.is_run_length[index]:
            height, width, *_ = values = self.part_values(first)
            if (height, width) != size:
                raise DataError(f"has a mask of {height} x {width}")
            return RunLength((int(height), int(width)), values[2:].astype(np.uint32))
        polygons = [from_fifths(self.part_values(place)) for place in range(first, end)]
        return fill_polygons(polygons, size, Fill(int(self.fills[index])), self.rasterise)


def to_fifths(points: Float[np.ndarray, " v"]) -> Int[np.ndarray, " v"]:
    """Round coordinates as COCO's rasteriser does: add one half and truncate towards zero."""
    return (FIFTHS * points + 0.5).astype(np.int32)


def from_fifths(fifths: Int[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
    """Return coordinates that round to exactly these fifths again."""
    return np.where(fifths < 0, fifths - 0.75, fifths) / FIFTHS


class AnnotationBuilder:
    """Collector of objects, which are added in any order of images and then concatenated."""

    def __init__(self) -> None:
        self.images, self.labels, self.names = array("i"), array("i"), array("q")
        self.depths, self.crowds, self.run_lengths = array("i"), array("b"), array("b")
        self.lengths, self.part_counts, self.areas = array("i"), array("i"), array("d")
        self.fills = array("b")
        self.values = array("i")  # grows in place; joining arrays at the end takes twice the memory
        self.pending: list[np.ndarray] = []

    def add(
        self,
        image: int,
        label: int,
        name: int,
        mask: Mask,
        *,
        crowd: bool = False,
        depth: int = 0,
        area: float = nan,
        fill: Fill = Fill.UNION,
    ) -> None:
        """Add an object.

        Args:
            image: Number of the object's image.
            label: Label id, or a number that `renumber` translates to one.
            name: Number of the object in the file.
            mask: Polygons (see `read_polygons`), or run lengths of the whole image.
            crowd: Whether the object is a crowd, which stands for several objects.
            depth: Depth of the object; where objects overlap, the greater depth is behind.
            area: Area stated in the file, in pixels; NaN if not stated.
            fill: Rule by which several polygons are filled.
        """
        self.images.append(image)
        self.labels.append(label)
        self.names.append(name)
        self.depths.append(depth)
        self.crowds.append(crowd)
        self.areas.append(area)
        self.fills.append(fill)
        self.run_lengths.append(isinstance(mask, RunLength))
        parts = [pack_run_lengths(mask)] if isinstance(mask, RunLength) else mask
        before = len(self.lengths)
        for part in parts:
            self.lengths.append(len(part))
            self.pending.append(part)
        self.part_counts.append(len(self.lengths) - before)
        if len(self.pending) >= 1 << 14:
            self.flush()

    def flush(self) -> None:
        """Append pending parts to the values; polygons, which are floats, are rounded."""
        floats = [part.dtype.kind == "f" for part in self.pending]
        if floats and all(floats):
            block = to_fifths(np.concatenate(self.pending))
        else:
            parts = zip(self.pending, floats, strict=True)
            whole = [to_fifths(part) if polygon else part for part, polygon in parts]
            block = np.concatenate([np.empty(0, np.int32), *whole])
        self.values.frombytes(block.tobytes())
        self.pending.clear()

    def renumber(self, images: Int[np.ndarray, " k"], labels: Int[np.ndarray, " c"]) -> None:
        """Replace the numbers of images and labels by the entries of these tables."""
        self.images = array("i", images[np.array(self.images, np.int32)].tolist())
        self.labels = array("i", labels[np.array(self.labels, np.int32)].tolist())

    def finish(
        self,
        sizes: Int[np.ndarray, "k 2"],
        origin: DescribeObject,
        rasterise: Rasterise = rasterise_polygons,
    ) -> Annotations:
        """Sort the objects by image and check that they lie inside their images.

        Args:
            sizes: Height and width of each image, 0 if unknown.
            origin: Function that names an object in messages.
            rasterise: Function that rasterises polygons.

        Raises:
            DataError: An object lies outside its image, or has a mask of another size.
        """
        self.flush()
        images = np.array(self.images, np.int32)
        annotations = Annotations(
            sizes=sizes,
            label_ids=np.array(self.labels, np.int32),
            crowds=np.array(self.crowds, bool),
            depths=np.array(self.depths, np.int32),
            areas=np.array(self.areas, np.float64),
            numbers=np.array(self.names, np.int64),
            order=np.argsort(images, kind="stable").astype(np.int32),
            first_object=offsets(np.bincount(images, minlength=len(sizes))),
            values=np.frombuffer(self.values, np.int32),
            part_starts=offsets(self.lengths),
            first_part=offsets(self.part_counts),
            is_run_length=np.array(self.run_lengths, bool),
            fills=np.array(self.fills, np.int8),
            rasterise=rasterise,
        )
        check_positions(annotations, images, origin)
        return annotations


def offsets(counts: Any) -> Int[np.ndarray, " n"]:
    """Return the start of each of several segments of these lengths, and the end of the last."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))])


def pack_run_lengths(mask: RunLength) -> Int[np.ndarray, " v"]:
    """Store size and counts in one array, padded to an even length as polygons have."""
    padding = [0] * (len(mask.counts) % 2)
    return np.concatenate([mask.size, mask.counts, padding]).astype(np.int32)


def check_positions(
    annotations: Annotations, images: Int[np.ndarray, " n"], origin: DescribeObject
) -> None:
    """Raise if an object lies outside its image, or its run lengths have another size.

    Raises:
        DataError: An object does; the message names the first one.
    """
    if not len(images):
        return
    height, width = annotations.sizes[images].T
    part_starts = annotations.part_starts[:-1]
    part_objects = np.repeat(np.arange(len(images)), np.diff(annotations.first_part))
    is_bad = np.zeros(len(part_objects), bool)
    is_relative = ~annotations.is_run_length[part_objects]
    for axis in range(2):
        coordinates = annotations.values[axis::2]
        minimum = np.minimum.reduceat(coordinates, part_starts // 2)
        maximum = np.maximum.reduceat(coordinates, part_starts // 2)
        is_bad |= is_outside(minimum, maximum, (height[part_objects], width[part_objects]), axis)
        is_relative &= (minimum >= 0) & (maximum <= FIFTHS)
    if is_relative.all():
        check_units(annotations, origin(int(images[0]), int(annotations.numbers[0])))
    other_size = (annotations.values[part_starts] != height[part_objects]) | (
        annotations.values[part_starts + 1] != width[part_objects]
    )
    is_bad = np.where(annotations.is_run_length[part_objects], other_size, is_bad)
    is_bad &= height[part_objects] > 0
    if is_bad.any():
        part = int(is_bad.argmax())
        index = int(part_objects[part])
        description = origin(int(images[index]), int(annotations.numbers[index]))
        size = int(height[index]), int(width[index])
        if annotations.is_run_length[index]:
            mask = annotations.part_values(part)
            raise DataError(
                f"{description} has a mask of {mask[1]} x {mask[0]} pixels, its image has "
                f"{size[1]} x {size[0]} pixels: redo it"
            )
        raise outside_error(description, annotations.part_values(part), size)


def check_units(annotations: Annotations, first: str) -> None:
    """Raise if coordinates between 0 and 1 are shares of the images' sides instead of pixels.

    Args:
        annotations: Polygons whose coordinates all lie between 0 and 1.
        first: Description of the first object, for the message.

    Raises:
        DataError: The coordinates are shares of the sides.
    """
    is_tiny = 0 < annotations.sizes.max() <= MAX_TINY_SIDE
    is_fractional = bool((annotations.values % FIFTHS).any())
    num_outlines = len(annotations.part_starts) - 1
    if num_outlines >= MIN_RELATIVE_OUTLINES and is_fractional and not is_tiny:
        raise DataError(
            f"{first} and all others lie between 0 and 1: these are shares of the sides, not "
            "pixels; multiply x by the width and y by the height"
        )


def check_image_positions(
    annotations: Annotations, image: int, size: tuple[int, int], origin: DescribeObject
) -> None:
    """Raise if a polygon lies outside an image whose size the labels do not state.

    Raises:
        DataError: A polygon does; rasterising it could need any amount of memory.
    """
    for index in annotations.objects_of_image(image).tolist():
        if annotations.is_run_length[index]:
            continue
        for part in map(
            annotations.part_values,
            range(annotations.first_part[index], annotations.first_part[index + 1]),
        ):
            spans = [(part[axis::2].min(), part[axis::2].max()) for axis in range(2)]
            if any(is_outside(low, high, size, axis) for axis, (low, high) in enumerate(spans)):
                raise outside_error(origin(image, int(annotations.numbers[index])), part, size)


def is_outside(minimum: Any, maximum: Any, size: tuple[Any, Any], axis: int) -> Any:
    """Return whether polygons extend too far beyond their images, or are entirely outside.

    Args:
        minimum: Minimum coordinate of each polygon, in fifths of a pixel.
        maximum: Maximum coordinate of each polygon, in fifths of a pixel.
        size: Height and width of the polygons' images.
        axis: Axis of the coordinates: 0 for x, 1 for y.
    """
    limit = np.maximum(MAX_OUTSIDE_SHARE * np.maximum(*size), 1) * FIFTHS
    end = FIFTHS * size[1 - axis]
    return (minimum < -limit) | (maximum > end + limit) | (maximum < 0) | (minimum > end)


def outside_error(origin: str, fifths: Int[np.ndarray, " v"], size: tuple[int, int]) -> DataError:
    """Build the error for a polygon that lies outside its image."""
    points = fifths.reshape(-1, 2) / FIFTHS
    middle = size[1] / 2, size[0] / 2
    farthest = points[np.argmax(np.abs(points - middle).max(1))]
    return DataError(
        f"{origin} reaches ({farthest[0]:g}, {farthest[1]:g}), but its image has {size[1]} x "
        f"{size[0]} pixels: export labels of that size"
    )
