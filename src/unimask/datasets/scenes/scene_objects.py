"""Objects of a scene as polygons in pixels, rasterised window by window."""

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from unimask.datasets.objects.dataset import VOID_LABEL
from unimask.datasets.scenes.scene import WindowLabels
from unimask.extras import import_extra
from unimask.tiling.windows import TileWindow


class SceneObjects:
    """Objects of a scene.

    The pixels of an object are those whose centres lie in its polygon, as GDAL rasterises. The
    smaller of two objects is in front.

    Args:
        shapes: Polygons of shapely in pixels of the scene.
        label_ids: Label id of each object, `VOID_LABEL` for ignored regions.
    """

    def __init__(self, shapes: np.ndarray, label_ids: Int[np.ndarray, " n"]) -> None:
        order = np.argsort(-import_extra("shapely", "geo").area(shapes), kind="stable")
        self.shapes, self.label_ids = shapes[order], label_ids[order]

    @cached_property
    def tree(self) -> Any:
        """Index of the polygons by place."""
        return import_extra("shapely", "geo").STRtree(self.shapes)

    def find(self, window: TileWindow) -> Int[np.ndarray, " n"]:
        """Return the indices of the objects in a window, from back to front."""
        return np.sort(self.tree.query(window_box(window), predicate="intersects"))

    @cached_property
    def overlapping(self) -> Bool[np.ndarray, " n"]:
        """Whether each object shares ground with another; those that only touch do not."""
        shapely = import_extra("shapely", "geo")
        first, second = self.tree.query(self.shapes, predicate="intersects")
        pairs = first < second
        first, second = first[pairs], second[pairs]
        shared = ~shapely.touches(self.shapes[first], self.shapes[second])
        overlapping = np.zeros(len(self.shapes), bool)
        overlapping[first[shared]] = overlapping[second[shared]] = True
        return overlapping

    def read(self, window: TileWindow, valid: Bool[np.ndarray, "h w"]) -> WindowLabels:
        """Return the objects that have a valid pixel in a window."""
        found = self.find(window)
        void = self.label_ids[found] == VOID_LABEL
        ignored = rasterise(self.shapes[found[void]], None, window) > 0
        found = found[~void]
        single = found[~self.overlapping[found]]
        first = rasterise(self.shapes[single], np.arange(1, len(single) + 1), window)
        first[~valid] = 0
        present = np.unique(first[first > 0])
        number = np.zeros(len(single) + 1, np.int32)
        number[present] = np.arange(1, len(present) + 1)
        layers, objects = [number[first]], single[present - 1].tolist()
        for index in found[self.overlapping[found]].tolist():
            place, mask = rasterise_within(self.shapes[index], window)
            mask &= valid[place]
            if mask.any():
                objects.append(index)
                place_mask(layers, place, mask, len(objects))
        label_ids = self.label_ids[np.array(objects, np.int64)].astype(np.int64)
        return WindowLabels(np.stack(layers), label_ids, ignored & valid)

    def count_things(self, windows: Sequence[TileWindow]) -> Int[np.ndarray, " n"]:
        """Count the objects in each window, without ignored regions."""
        boxes = [window_box(window) for window in windows]
        places, objects = self.tree.query(boxes, predicate="intersects")
        known = self.label_ids[objects] != VOID_LABEL
        return np.bincount(places[known], minlength=len(windows))

    def digest(self, window: TileWindow) -> str:
        """Compute a digest of the objects in a window."""
        objects = self.find(window)
        digest = blake2b(self.label_ids[objects].tobytes(), digest_size=8)
        for data in import_extra("shapely", "geo").to_wkb(self.shapes[objects]).tolist():
            digest.update(data)
        return digest.hexdigest()


def place_mask(
    layers: list[Int[np.ndarray, "h w"]],
    place: tuple[slice, slice],
    mask: Bool[np.ndarray, "i j"],
    number: int,
) -> None:
    """Place a mask on the lowest layer above all masks that it overlaps, or on a new one."""
    level = len(layers)
    while level and not layers[level - 1][place][mask].any():
        level -= 1
    if level == len(layers):
        layers.append(np.zeros_like(layers[0]))
    layers[level][place][mask] = number


def window_box(window: TileWindow) -> Any:
    """Return a window as a polygon of shapely."""
    box = window.column, window.row, window.right, window.bottom
    return import_extra("shapely", "geo").box(*box)


def rasterise(
    shapes: np.ndarray, numbers: Int[np.ndarray, " n"] | None, window: TileWindow
) -> Int[np.ndarray, "h w"]:
    """Draw polygons into a window, the later over the earlier.

    Args:
        shapes: Polygons of shapely in pixels of the scene.
        numbers: Value of each polygon; None for 1.
        window: Window of the scene.
    """
    if not len(shapes):
        return np.zeros((window.height, window.width), np.int32)
    # Moved by one pixel, since rasterio warns that the identity is no place on the ground.
    moved = import_extra("shapely", "geo").transform(
        shapes, lambda points: points - (window.column - 1, window.row - 1)
    )
    values = np.ones(len(shapes), np.int32) if numbers is None else numbers
    return import_extra("rasterio.features", "geo").rasterize(
        list(zip(moved.tolist(), values.tolist(), strict=True)),
        (window.height, window.width),
        transform=import_extra("rasterio", "geo").Affine.translation(1, 1),
        dtype=np.int32,
    )


def rasterise_within(
    shape: Any, window: TileWindow
) -> tuple[tuple[slice, slice], Bool[np.ndarray, "i j"]]:
    """Rasterise a polygon where it lies in a window; return the place within the window too."""
    left, top, right, bottom = import_extra("shapely", "geo").bounds(shape)
    rows = np.clip([np.floor(top), np.ceil(bottom)], window.row, window.bottom).astype(int)
    columns = np.clip([np.floor(left), np.ceil(right)], window.column, window.right).astype(int)
    part = TileWindow(
        int(rows[0]), int(columns[0]), int(rows[1] - rows[0]), int(columns[1] - columns[0])
    )
    place = part.slices_within(window)
    if not part.height or not part.width:
        return place, np.zeros((part.height, part.width), bool)
    shapes = np.empty(1, object)
    shapes[0] = shape
    return place, rasterise(shapes, None, part) > 0
