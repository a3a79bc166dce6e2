"""Convert labelling tools' polygons, boxes, ellipses and masks to polygons or run lengths."""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from unimask.errors import DataError, MissingExtraError
from unimask.formats.run_length import RunLength
from unimask.processing.images import MAX_PIXELS

Mask = list[np.ndarray] | RunLength
"""Polygons, each x0, y0, x1, y1, ... in pixels; or run lengths of the whole image."""

Rasterise = Callable[[Any, tuple[int, int]], RunLength]
"""Function that returns the union of polygons in an image of some height and width."""

MAX_COORDINATE = 2.0**28
"""Upper bound of coordinates in pixels; no image has so long a side."""

MIN_CORNERS = 3
"""Minimum number of points that enclose an area."""

MAX_ELLIPSE_ERROR = 0.05
"""Maximum distance in pixels between an ellipse and the polygon that approximates it."""


class Fill(IntEnum):
    """Rule by which the polygons of an object are filled."""

    UNION = 0
    """Pixels of any polygon."""

    HOLES = 1
    """Pixels of the first polygon that are in none of the others."""


def read_polygons(polygons: Sequence[Any]) -> list[Float[np.ndarray, " _"]]:
    """Parse polygons; those with fewer than three points are dropped.

    Args:
        polygons: Polygons, each a list x0, y0, x1, y1, ... or a list of points.

    Raises:
        DataError: A coordinate is invalid; the message is the end of a sentence.
    """
    checked = []
    for polygon in polygons:
        try:
            points = np.asarray(polygon, np.float64)
        except (TypeError, ValueError, OverflowError):
            raise DataError("has coordinates that are not numbers: draw it again") from None
        if points.ndim == 2 and points.shape[1] == 2:
            points = points.ravel()
        if points.ndim != 1 or len(points) % 2:
            raise DataError("has a polygon that is not a list x0, y0, x1, y1, ...: export it again")
        if not np.abs(points).max(initial=0) < MAX_COORDINATE:
            raise DataError("has coordinates that cannot lie in an image: draw it again")
        if len(points) >= 2 * MIN_CORNERS:
            checked.append(points)
    return checked


def rectangle_polygon(left: float, top: float, right: float, bottom: float) -> list[float]:
    """Return the polygon of a box."""
    return [left, top, right, top, right, bottom, left, bottom]


def ellipse_polygon(
    x: float, y: float, width: float, height: float, degrees: float = 0
) -> list[float]:
    """Return a polygon that approximates an ellipse.

    Args:
        x: Centre in pixels from the left.
        y: Centre in pixels from the top.
        width: Half axis along x before the rotation, in pixels.
        height: Half axis along y before the rotation, in pixels.
        degrees: Rotation about the centre, clockwise as displayed.
    """
    radius = min(max(abs(width), abs(height), 1.0), MAX_COORDINATE)
    corners = int(np.ceil(np.pi / np.arccos(1 - MAX_ELLIPSE_ERROR / radius)))
    angles = np.arange(corners) * (2 * np.pi / corners)
    along, across = width * np.cos(angles), height * np.sin(angles)
    if degrees:
        sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        along, across = along * cosine - across * sine, along * sine + across * cosine
    return np.stack([x + along, y + across], axis=1).ravel().tolist()


def rotate_polygon(polygon: list[float], degrees: float) -> list[float]:
    """Rotate a polygon about the centre of its box, clockwise as displayed."""
    points = np.array(polygon).reshape(-1, 2)
    middle = (points.min(0) + points.max(0)) / 2
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    rotated = (points - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle
    return rotated.ravel().tolist()


def place_mask(inside: np.ndarray, left: float, top: float, size: tuple[int, int]) -> RunLength:
    """Place the mask of a part in an image of this size; pixels outside the image are cropped.

    Raises:
        DataError: No pixel of the mask lies in the image, or the image is too large; the message is
            the end of a sentence.
    """
    if size[0] * size[1] > MAX_PIXELS:
        raise DataError(f"is in an image of {size[1]} x {size[0]}, which is too large: check it")
    x, y = round(left), round(top)
    part = inside[max(-y, 0) : max(size[0] - y, 0), max(-x, 0) : max(size[1] - x, 0)]
    if not part.size:
        raise DataError(f"has a mask at ({x}, {y}), outside of its image: draw it again")
    # A row of zeros ends every column, so that no run continues in the next column.
    flat = np.pad(part, ((0, 1), (0, 0))).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    columns, rows = np.divmod(edges[::2], part.shape[0] + 1)
    starts = (columns + max(x, 0)) * size[0] + rows + max(y, 0)
    return RunLength.from_runs(size, starts, edges[1::2] - edges[::2])


def merge_masks(masks: Sequence[Mask], size: tuple[int, int]) -> Mask:
    """Merge the parts of one object into one mask.

    Raises:
        DataError: A polygon beside a mask extends far beyond the image; the message is the end of a
            sentence.
        MissingExtraError: The extra `train` is not installed.
    """
    polygons = [polygon for mask in masks if isinstance(mask, list) for polygon in mask]
    run_lengths = [mask for mask in masks if isinstance(mask, RunLength)]
    if not run_lengths:
        return polygons
    if len(masks) == 1:
        return run_lengths[0]
    for polygon in polygons:
        if np.abs(polygon).max() > 2 * max(*size):
            raise DataError("reaches far out of its image: draw it again")
    return merge_run_lengths(
        [*run_lengths, rasterise_polygons(polygons, size)] if polygons else run_lengths
    )


def rasterise_polygons(polygons: list[Float[np.ndarray, " _"]], size: tuple[int, int]) -> RunLength:
    """Rasterise polygons as COCO does, and return the union of their pixels.

    Raises:
        MissingExtraError: The extra `train` is not installed.
    """
    coco = pycocotools_masks()
    run_lengths = coco.frPyObjects(cast(Any, polygons), size[0], size[1])
    return RunLength.from_coco(run_lengths[0] if len(run_lengths) == 1 else coco.merge(run_lengths))


def fill_polygons(
    polygons: list[Float[np.ndarray, " _"]], size: tuple[int, int], fill: Fill, rasterise: Rasterise
) -> RunLength:
    """Rasterise the polygons of one object.

    Args:
        polygons: Polygons, each x0, y0, x1, y1, ... in pixels.
        size: Height and width of the image.
        fill: Rule by which they are filled.
        rasterise: Function that rasterises polygons.

    Raises:
        MissingExtraError: The extra `train` is not installed.
    """
    if fill is Fill.UNION or len(polygons) == 1:
        return rasterise(polygons, size)
    masks = [rasterise([polygon], size).to_mask() for polygon in polygons]
    return RunLength.from_mask(masks[0] & ~np.logical_or.reduce(masks[1:]))


def merge_run_lengths(masks: Sequence[RunLength]) -> RunLength:
    """Return the union of masks, computed on run lengths.

    Raises:
        MissingExtraError: The extra `train` is not installed.
    """
    coco = pycocotools_masks()
    return RunLength.from_coco(coco.merge([cast(Any, mask.to_coco()) for mask in masks]))


def pycocotools_masks() -> Any:
    """Return the module of pycocotools that rasterises and merges masks.

    Raises:
        MissingExtraError: The extra `train` is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError:
        raise MissingExtraError("pycocotools", "train") from None
    return mask
