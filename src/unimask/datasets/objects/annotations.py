"""Store the objects of many images in few arrays, and rasterise them on demand."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from unimask.datasets.objects.outlines import Mask, draw
from unimask.errors import DataError
from unimask.formats.run_length import RunLength

FIFTHS = 5
"""Steps per pixel in which COCO's rasteriser rounds coordinates, and the precision stored here."""

OUTSIDE = 0.1
"""Maximum share of the longer side by which an object may extend beyond the image; that part is
clipped."""

FEWEST_SHARES, TINY = 2, 16
"""Minimum number of outlines that show, by all lying within the first pixel of images with longer
sides than this, that their coordinates are shares of the sides."""

Origin = Callable[[int, int], str]
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
        names: Number of each object in the file.
        order: Indices of the objects, sorted by image.
        first: Start of each image's objects in `order`; one more entry marks the end.
        values: Coordinates x and y of polygons in fifths of a pixel; height, width and counts of
            run lengths.
        parts: Start of each part (a polygon, or the run lengths of one mask) in `values`.
        first_part: Start of each object's parts in `parts`; one more entry marks the end.
        run_lengths: Whether each object is stored as run lengths.
    """

    sizes: Int[np.ndarray, "k 2"]
    label_ids: Int[np.ndarray, " n"]
    crowds: Bool[np.ndarray, " n"]
    depths: Int[np.ndarray, " n"]
    areas: Float[np.ndarray, " n"]
    names: Int[np.ndarray, " n"]
    order: Int[np.ndarray, " n"]
    first: Int[np.ndarray, " p"]
    values: Int[np.ndarray, " v"]
    parts: Int[np.ndarray, " q"]
    first_part: Int[np.ndarray, " m"]
    run_lengths: Bool[np.ndarray, " n"]

    def of(self, image: int) -> Int[np.ndarray, " k"]:
        """Return the indices of an image's objects."""
        return self.order[self.first[image] : self.first[image + 1]]

    def part(self, index: int) -> Int[np.ndarray, " k"]:
        """Return the values of one part."""
        return self.values[self.parts[index] : self.parts[index + 1]]

    def mask(self, index: int, size: tuple[int, int]) -> RunLength:
        """Rasterise one object, with exactly the pixels of pycocotools.

        Args:
            index: Index of the object.
            size: Height and width of its image.

        Raises:
            DataError: The run lengths belong to an image of another size.
            MissingExtraError: The extra `train` is not installed.
        """
        first, end = int(self.first_part[index]), int(self.first_part[index + 1])
        if self.run_lengths[index]:
            height, width, *_ = values = self.part(first)
            if (height, width) != size:
                raise DataError(f"has a mask of {height} x {width}")
            return RunLength((int(height), int(width)), values[2:].astype(np.uint32))
        return draw([from_fifths(self.part(place)) for place in range(first, end)], size)


def to_fifths(points: Float[np.ndarray, " v"]) -> Int[np.ndarray, " v"]:
    """Round coordinates as COCO's rasteriser does: add one half and truncate towards zero."""
    return (FIFTHS * points + 0.5).astype(np.int32)


def from_fifths(fifths: Int[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
    """Return coordinates that round to exactly these fifths again."""
    return np.where(fifths < 0, fifths - 0.75, fifths) / FIFTHS


class Collector:
    """Collector of objects, which are added in any order of images and then concatenated."""

    def __init__(self) -> None:
        self.images, self.labels, self.names = array("i"), array("i"), array("q")
        self.depths, self.crowds, self.run_lengths = array("i"), array("b"), array("b")
        self.lengths, self.part_counts, self.areas = array("i"), array("i"), array("d")
        self.blocks: list[np.ndarray] = []
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
        """
        self.images.append(image)
        self.labels.append(label)
        self.names.append(name)
        self.depths.append(depth)
        self.crowds.append(crowd)
        self.areas.append(area)
        self.run_lengths.append(isinstance(mask, RunLength))
        parts = [run_length_part(mask)] if isinstance(mask, RunLength) else mask
        before = len(self.lengths)
        for part in parts:
            self.lengths.append(len(part))
            self.pending.append(part)
        self.part_counts.append(len(self.lengths) - before)
        if len(self.pending) >= 1 << 14:
            self.flush()

    def flush(self) -> None:
        """Concatenate pending parts into one block; polygons, which are floats, are rounded."""
        floats = [part.dtype.kind == "f" for part in self.pending]
        if floats and all(floats):
            self.blocks.append(to_fifths(np.concatenate(self.pending)))
        else:
            parts = zip(self.pending, floats, strict=True)
            whole = [to_fifths(part) if polygon else part for part, polygon in parts]
            self.blocks.append(np.concatenate([np.empty(0, np.int32), *whole]))
        self.pending.clear()

    def renumber(self, images: Int[np.ndarray, " k"], labels: Int[np.ndarray, " c"]) -> None:
        """Replace the numbers of images and labels by the entries of these tables."""
        self.images = array("i", images[np.array(self.images, np.int32)].tolist())
        self.labels = array("i", labels[np.array(self.labels, np.int32)].tolist())

    def finish(self, sizes: Int[np.ndarray, "k 2"], origin: Origin) -> Annotations:
        """Sort the objects by image and check that they lie inside their images.

        Args:
            sizes: Height and width of each image, 0 if unknown.
            origin: Function that names an object in messages.

        Raises:
            DataError: An object lies outside its image, or has a mask of another size.
        """
        self.flush()
        self.blocks = [np.concatenate(self.blocks)]
        images = np.array(self.images, np.int32)
        annotations = Annotations(
            sizes=sizes,
            label_ids=np.array(self.labels, np.int32),
            crowds=np.array(self.crowds, bool),
            depths=np.array(self.depths, np.int32),
            areas=np.array(self.areas, np.float64),
            names=np.array(self.names, np.int64),
            order=np.argsort(images, kind="stable").astype(np.int32),
            first=ends(np.bincount(images, minlength=len(sizes))),
            values=self.blocks[0],
            parts=ends(self.lengths),
            first_part=ends(self.part_counts),
            run_lengths=np.array(self.run_lengths, bool),
        )
        check_places(annotations, images, origin)
        return annotations


def ends(counts: Any) -> Int[np.ndarray, " n"]:
    """Return the start of each of several segments of these lengths, and the end of the last."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))])


def run_length_part(mask: RunLength) -> Int[np.ndarray, " v"]:
    """Store size and counts in one array, padded to an even length as polygons have."""
    padding = [0] * (len(mask.counts) % 2)
    return np.concatenate([mask.size, mask.counts, padding]).astype(np.int32)


def check_places(done: Annotations, images: Int[np.ndarray, " n"], origin: Origin) -> None:
    """Raise if an object lies outside its image, or its run lengths have another size.

    Raises:
        DataError: An object does; the message names the first one.
    """
    if not len(images):
        return
    height, width = done.sizes[images].T
    start = done.parts[:-1]
    owners = np.repeat(np.arange(len(images)), np.diff(done.first_part))
    bad, within_one = np.zeros(len(owners), bool), ~done.run_lengths[owners]
    for axis in range(2):
        along = done.values[axis::2]
        low = np.minimum.reduceat(along, start // 2)
        high = np.maximum.reduceat(along, start // 2)
        bad |= is_outside(low, high, (height[owners], width[owners]), axis)
        within_one &= (low >= 0) & (high <= FIFTHS)
    tiny, fractional = 0 < done.sizes.max() <= TINY, bool((done.values % FIFTHS).any())
    if len(owners) >= FEWEST_SHARES and within_one.all() and fractional and not tiny:
        raise DataError(
            f"{origin(int(images[0]), int(done.names[0]))} and all others lie between 0 and 1: "
            "these are shares of the sides, not pixels; multiply x by the width and y by the height"
        )
    other_size = (done.values[start] != height[owners]) | (done.values[start + 1] != width[owners])
    bad = np.where(done.run_lengths[owners], other_size, bad) & (height[owners] > 0)
    if bad.any():
        part = int(bad.argmax())
        index = int(owners[part])
        where = origin(int(images[index]), int(done.names[index]))
        size = int(height[index]), int(width[index])
        if done.run_lengths[index]:
            mask = done.values[start[part]], done.values[start[part] + 1]
            raise DataError(
                f"{where} has a mask of {mask[1]} x {mask[0]} pixels, its image has {size[1]} x "
                f"{size[0]} pixels: redo it"
            )
        raise outside(where, done.part(part), size)


def check_image(done: Annotations, image: int, size: tuple[int, int], origin: Origin) -> None:
    """Raise if a polygon lies outside an image whose size the labels do not state.

    Raises:
        DataError: A polygon does; rasterising it could need any amount of memory.
    """
    for index in done.of(image).tolist():
        if done.run_lengths[index]:
            continue
        for part in map(done.part, range(done.first_part[index], done.first_part[index + 1])):
            spans = [(part[axis::2].min(), part[axis::2].max()) for axis in range(2)]
            if any(is_outside(low, high, size, axis) for axis, (low, high) in enumerate(spans)):
                raise outside(origin(image, int(done.names[index])), part, size)


def is_outside(low: Any, high: Any, size: tuple[Any, Any], axis: int) -> Any:
    """Return whether polygons extend too far beyond their images, or are entirely outside.

    Args:
        low: Minimum coordinate of each polygon, in fifths of a pixel.
        high: Maximum coordinate of each polygon, in fifths of a pixel.
        size: Height and width of the polygons' images.
        axis: Axis of the coordinates: 0 for x, 1 for y.
    """
    limit = np.maximum(OUTSIDE * np.maximum(*size), 1) * FIFTHS
    far = FIFTHS * size[1 - axis]
    return (low < -limit) | (high > far + limit) | (high < 0) | (low > far)


def outside(where: str, fifths: Int[np.ndarray, " v"], size: tuple[int, int]) -> DataError:
    """Build the error for a polygon that lies outside its image."""
    points = fifths.reshape(-1, 2) / FIFTHS
    middle = size[1] / 2, size[0] / 2
    worst = points[np.argmax(np.abs(points - middle).max(1))]
    return DataError(
        f"{where} reaches ({worst[0]:g}, {worst[1]:g}), but its image has {size[1]} x {size[0]} "
        "pixels: export labels of that size"
    )
