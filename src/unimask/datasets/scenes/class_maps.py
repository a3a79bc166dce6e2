"""Class maps on the ground: rasters of one band whose values are classes."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped

from unimask.datasets.maps.class_table import Row, find_tables, list_map_folders
from unimask.datasets.maps.classes import (
    IGNORED,
    Classes,
    classes_from_occurrence,
    classes_from_rows,
    rename_classes,
)
from unimask.datasets.maps.scanned_values import UNLABELLED_VALUES
from unimask.datasets.scenes.scene import WindowLabels
from unimask.errors import DataError
from unimask.formats.file_digest import sampled_digest
from unimask.labels import LabelSet
from unimask.rasters.gdal_image import GdalImage
from unimask.tiling.windows import TileWindow

MAX_CLASSES = 256
"""Largest number of values without names that are taken for classes."""

STRIP_PIXELS = 2**24
"""Number of pixels that are read at a time to find the values of a map."""

BINARY = ([0], [1], [0, 1], [255], [0, 255])
"""Values of maps of one class and its background."""


class ClassMap:
    """Classes of the pixels of a scene.

    Args:
        path: Raster file.
        classes: Class of each value.
    """

    def __init__(self, path: Path, classes: Classes) -> None:
        self.path, self.classes = path, classes

    def read(self, window: TileWindow, valid: Bool[np.ndarray, "h w"]) -> WindowLabels:
        """Return a region for each class in a window.

        Raises:
            DataError: A value has no class.
            ImageError: The file cannot be read.
        """
        label_ids = np.full(valid.shape, IGNORED, np.int32)
        with closing(GdalImage(self.path)) as image:
            inside = window.intersect(TileWindow(0, 0, *image.size))
            if inside is not None:
                place = inside.slices_within(window)
                codes, known = read_codes(image, inside)
                known &= valid[place]
                label_ids[place][known] = self.classes.look_up(codes[known], self.path)
        present = np.flatnonzero(np.bincount(label_ids[label_ids >= 0], minlength=1))
        number = np.zeros(max(present, default=-1) + 2, np.int32)  # last entry: ignored pixels
        number[present] = np.arange(1, len(present) + 1)
        return WindowLabels(number[label_ids][None], present, label_ids == IGNORED)

    def count_things(self, windows: Sequence[TileWindow]) -> None:
        """Return None: no class is a thing."""

    def digest(self, window: TileWindow) -> str:
        """Compute a digest of the file."""
        return sampled_digest([self.path])


def read_codes(
    image: GdalImage, window: TileWindow
) -> tuple[Shaped[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Read the values of a window, and which pixels hold data."""
    with_palette, image.palette = image.palette, None  # values, not the colours that they display
    codes = image.read(window, (0,))[..., 0]
    image.palette = with_palette
    valid = image.read_valid(window)
    return codes, np.ones(codes.shape, bool) if valid is None else valid


def find_classes(folder: Path, paths: Sequence[Path], names: tuple[str, ...] | None) -> Classes:
    """Return the classes of the values of maps.

    Names come from a class table beside the maps, from the tags of the first map, or from the user.

    Raises:
        DataError: A map has several bands, or values that are no classes.
        ImageError: A file cannot be read.
    """
    values = sorted(set().union(*map(find_values, paths)))
    known = [value for value in values if value not in UNLABELLED_VALUES]
    tables = find_tables(list_map_folders(paths, folder))
    tags = read_names(paths[0])
    if tables:
        rows = [
            (row, at if row.value is None else row.value) for at, row in enumerate(tables[0].rows)
        ]
        if all(row.value is None for row in tables[0].rows) and known[-1:] == [len(rows)]:
            rows = [(Row("background"), 0), *((row, code + 1) for row, code in rows)]
        classes = classes_from_rows(rows, str(tables[0].path), coloured=False)
    elif tags:
        rows = [(Row(name), code) for code, name in tags.items()]
        classes = classes_from_rows(rows, paths[0].name, coloured=False)
    elif values in BINARY:
        labels = LabelSet(("background", "foreground"), (False, False))
        top = max(1, values[-1])
        classes = Classes(labels, {0: 0, top: 1}, False, f"foreground is {top}")
    elif len(values) > MAX_CLASSES:
        raise DataError(
            f"{paths[0]} and others have {len(values)} values, too many for classes: if they "
            "number objects, save polygons (gdal_polygonize.py), else add a classes.txt"
        )
    else:
        ignored = [value for value in values if value not in known]
        classes = classes_from_occurrence(values, coloured=False, ignored=ignored)
    return classes if names is None else rename_classes(classes, names)


def find_values(path: Path) -> set[int]:
    """Return the values of a map where it holds data.

    Raises:
        DataError: It has several bands, or values that are no whole numbers.
    """
    with closing(GdalImage(path)) as image:
        if image.file.count != 1 or np.dtype(image.file.dtypes[0]).kind not in "iu":
            kind = f"{image.file.count} bands of {image.file.dtypes[0]}"
            raise DataError(f"{path} is no class map, it has {kind}: save one band of integers")
        return {
            int(value)
            for window in strips(image.size)
            for codes, valid in [read_codes(image, window)]
            for value in np.unique(codes[valid])
        }


def strips(size: tuple[int, int]) -> Iterator[TileWindow]:
    """Yield windows of all columns and some rows."""
    height, width = size
    rows = max(1, STRIP_PIXELS // width)
    for row in range(0, height, rows):
        yield TileWindow(row, 0, min(rows, height - row), width)


def read_names(path: Path) -> dict[int, str]:
    """Return the names that the tags of a map give to its values; empty for none."""
    with closing(GdalImage(path)) as image:
        tags = image.file.tags(1)
    return {int(key): name for key, name in tags.items() if key.isdecimal() and name}
