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

    def read(self, window: TileWindow, valid: Bool[np.ndarray, "h w"]) -> WindowLabels:
        """Return the objects that have a valid pixel in a window."""
        ignored = np.zeros((window.height, window.width), bool)
        layers = [np.zeros(ignored.shape, np.int32)]
        label_ids: list[int] = []
        for index in self.find(window).tolist():
            place, mask = rasterise_within(self.shapes[index], window)
            mask &= valid[place]
            if self.label_ids[index] == VOID_LABEL:
                ignored[place] |= mask
            elif mask.any():
                label_ids.append(int(self.label_ids[index]))
                place_mask(layers, place, mask, len(label_ids))
        return WindowLabels(np.stack(layers), np.array(label_ids, np.int64), ignored)

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


def rasterise_within(
    shape: Any, window: TileWindow
) -> tuple[tuple[slice, slice], Bool[np.ndarray, "h w"]]:
    """Rasterise a polygon where it lies in a window; return the place within the window too."""
    shapely = import_extra("shapely", "geo")
    left, top, right, bottom = shapely.bounds(shape)
    rows = np.clip([np.floor(top), np.ceil(bottom)], window.row, window.bottom).astype(int)
    columns = np.clip([np.floor(left), np.ceil(right)], window.column, window.right).astype(int)
    part = TileWindow(
        int(rows[0]), int(columns[0]), int(rows[1] - rows[0]), int(columns[1] - columns[0])
    )
    place = part.slices_within(window)
    if not part.height or not part.width:
        return place, np.zeros((part.height, part.width), bool)
    # Moved by one pixel, since rasterio warns that the identity is no place on the ground.
    moved = shapely.transform(shape, lambda points: points - (part.column - 1, part.row - 1))
    rasterio = import_extra("rasterio", "geo")
    mask = import_extra("rasterio.features", "geo").rasterize(
        [moved],
        (part.height, part.width),
        transform=rasterio.Affine.translation(1, 1),
        dtype=np.uint8,
    )
    return place, mask.astype(bool)
