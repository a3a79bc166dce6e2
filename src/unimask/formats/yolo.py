"""YOLO segmentation: lines of a class number and a polygon relative to the image."""

import numpy as np

from unimask.formats.corner_polygons import join_polygons
from unimask.formats.outlines import OutlinePart

DECIMALS = 6
"""Decimals of coordinates relative to width or height: 0.01 pixels in an image 20,000 wide."""

NUDGE = 0.01
"""Pixels by which half coordinates are shifted, lest rounded decimals fall below the half."""


def yolo_line(class_number: int, parts: list[OutlinePart], size: tuple[int, int]) -> str:
    """Return the line of one object, with its newline.

    Bridges of zero width connect the parts and holes to one polygon, as Ultralytics connects the
    parts of COCO's objects.

    Args:
        class_number: Number of the class in `names` of the YAML file.
        parts: Parts of the mask, at least one.
        size: Height and width of the image in pixels.
    """
    points = join_polygons([loop for part in parts for loop in part.loops]).astype(np.float64)
    points = np.minimum(points + NUDGE * (points % 1 != 0), size[::-1])
    values = (points / np.array(size[::-1])).ravel().tolist()
    return " ".join([str(class_number), *(f"{value:.{DECIMALS}f}" for value in values)]) + "\n"
