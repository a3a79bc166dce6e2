"""Polygons of objects and of regions of classes, written to files with their properties."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int16

from unimask.labels import LabelSet, is_background
from unimask.rasters.feature_files import FeatureFile
from unimask.rasters.polygons import Ground, class_outlines, mask_outline, simplify
from unimask.tiling.masks import PlacedMask

CELL = 2048
"""Side in pixels of the squares at whose borders regions of classes are divided."""


class Region(NamedTuple):
    """Segment to which a polygon belongs: its id, class, and score from 0 to 1 if it has one."""

    id: int
    label_id: int
    score: float | None


class FeatureWriter:
    """Writer of polygons in coordinates of the ground.

    Args:
        files: Files that get each polygon.
        ground: Coordinates of the image.
        labels: Classes.
        tolerance: Largest distance in pixels between a polygon and the exact outline.
        has_areas: Whether areas in m² are computed.
    """

    def __init__(
        self,
        files: Sequence[FeatureFile],
        ground: Ground,
        labels: LabelSet,
        *,
        tolerance: float,
        has_areas: bool,
    ) -> None:
        self.files, self.ground, self.labels = files, ground, labels
        self.tolerance, self.has_areas = tolerance, has_areas
        self.rows: list[np.ndarray] = []
        self.first_row = 0

    def add_mask(self, region: Region, mask: PlacedMask) -> None:
        """Write the polygon of an object, in pixels of the image."""
        self.add_outline(region, mask_outline(mask), mask.area)

    def add_outline(self, region: Region, outline, num_pixels: int) -> None:
        """Write an exact outline in pixels of the image."""
        polygon = self.ground.place(simplify(outline, self.tolerance))
        properties: dict[str, object] = {
            "segment_id": region.id,
            "label": self.labels.names[region.label_id],
            "label_id": region.label_id,
            "is_thing": self.labels.is_thing[region.label_id],
            "score": None if region.score is None else round(region.score, 6),
            "area_pixels": num_pixels,
        }
        if self.has_areas:
            exact = outline if self.ground.pixel_area else self.ground.place(outline)
            properties["area_m2"] = round(self.ground.area(exact, num_pixels), 3)
        for file in self.files:
            file.add(polygon, properties)

    def add_rows(
        self, row: int, labels: Int16[np.ndarray, "h w"], region: Callable[[int], Region]
    ) -> None:
        """Add the next rows of a map of label ids, of which -1 belongs to no region.

        Args:
            row: First row within the image.
            labels: Label ids.
            region: Function that returns the segment of a label id.
        """
        self.rows.append(labels)
        bottom = row + len(labels)
        if bottom - self.first_row < CELL and bottom < self.ground.size[0]:
            return
        block = np.concatenate(self.rows)
        for index, name in enumerate(self.labels.names):
            if is_background(name):
                block[block == index] = -1
        for column in range(0, block.shape[1], CELL):
            part = np.ascontiguousarray(block[:, column : column + CELL])
            for outline, label_id in class_outlines(part, self.first_row, column):
                self.add_outline(region(label_id), outline, round(outline.area))
        self.rows, self.first_row = [], bottom

    def finish(self) -> None:
        """Complete the files."""
        for file in self.files:
            file.finish()
