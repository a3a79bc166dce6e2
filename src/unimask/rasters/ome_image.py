"""Microscopy images with metadata in the Open Microscopy Environment's model: arrays with axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped, UInt8

from unimask.errors import ImageError, one_line
from unimask.processing.images import check_size
from unimask.rasters.large_image import Georeference, LargeImage, band_error
from unimask.rasters.levels import Level, choose_level
from unimask.rasters.tissue import MASK_SIDE, TissueMap
from unimask.tiling.windows import TileWindow

MICROMETRES = {
    "pm": 1e-6, "nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6,
    "picometer": 1e-6, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "meter": 1e6,
}  # fmt: skip
"""Micrometres per unit of length in OME-XML and OME-Zarr."""

MAX_PIXELS = 2**50
"""Largest product of height and width, beyond which metadata are taken for damaged."""


class OmeImage(LargeImage):
    """Image of which each level is an array with named axes.

    Axes beside y, x and channels must have length 1. Coordinates of results are those of the finest
    level.

    Args:
        name: Name of the image in messages.
        arrays: Array of each level, the finest first; indexing returns NumPy arrays.
        axes: Names of the axes, of "tczyxs" ("s" are colour samples of a pixel).
        mpp_of_levels: Micrometres per pixel of each level, None if they are unknown.
        band_names: Names of the channels; empty if they are unknown.
        mpp: Micrometres per pixel of the network's input; see `choose_level`.
        level: Index of the level; see `choose_level`.
        tissue: Whether glass is left out of RGB images.

    Attributes:
        scale: Pixels of the network's input per pixel of the level.

    Raises:
        ImageError: The arrays have other axes, or there is no such level.
    """

    def __init__(
        self,
        name: str,
        arrays: Sequence[Any],
        axes: str,
        mpp_of_levels: Sequence[float | None],
        *,
        band_names: Sequence[str] = (),
        mpp: float | None = None,
        level: int | None = None,
        tissue: bool = True,
    ) -> None:
        self.name, self.axes, self.arrays = name, axes, arrays
        self.check_axes()
        sizes = [(array.shape[axes.index("y")], array.shape[axes.index("x")]) for array in arrays]
        levels = [Level(*item) for item in zip(sizes, mpp_of_levels, strict=True)]
        self.level, self.scale = choose_level(levels, mpp=mpp, level=level, name=name)
        self.size, self.mpp = levels[self.level]
        check_size(*self.size, name, MAX_PIXELS)
        shape = arrays[self.level].shape
        self.num_bands = int(np.prod([shape[axes.index(axis)] for axis in "cs" if axis in axes]))
        self.band_names = tuple(band_names) if len(band_names) == self.num_bands else ()
        self.dtype = np.dtype(arrays[self.level].dtype)
        if self.dtype.kind not in "iuf":
            raise ImageError(f"{name} has values of type {self.dtype}: pass integers or floats")
        (height, width), own = sizes[0], self.size
        factors = width / own[1], height / own[0]
        if self.level:
            self.georeference = Georeference(None, (factors[0], 0.0, 0.0, 0.0, factors[1], 0.0))
        is_rgb = axes.endswith("s") and self.num_bands == 3 and self.dtype == np.uint8
        self.tissue = TissueMap(self.size, self.read_reduced) if tissue and is_rgb else None
        self.options = {"level": self.level, "tissue": tissue}

    def check_axes(self) -> None:
        """Test that each axis has one use, and that time and depth have one plane."""
        axes, shape = self.axes, self.arrays[0].shape
        if not set(axes) <= set("tczyxs") or not {"y", "x"} <= set(axes) or len(axes) != len(shape):
            raise ImageError(f"{self.name} has the axes {axes!r}: pass an image with y and x")
        for axis in set(axes) & set("tz"):
            length = shape[axes.index(axis)]
            if length != 1:
                plane = {"t": "time point", "z": "plane"}[axis]
                raise ImageError(
                    f"{self.name} has {length} {plane}s ({axis}): save one {plane} as an image"
                )

    def choose_bands(self, channels: int) -> tuple[int, ...]:
        """Return the bands that a model with a number of channels reads by default.

        Raises:
            ImageError: The choice is not obvious; the message names the channels.
        """
        try:
            return super().choose_bands(channels)
        except ImageError:
            error = band_error(self.name, self.num_bands, channels)
            if not self.band_names:
                raise error from None
            names = ", ".join(f"{n} {name}" for n, name in enumerate(self.band_names, start=1))
            raise ImageError(f"{error}; they are {names}") from None

    def read(self, window: TileWindow, bands: Sequence[int]) -> Shaped[np.ndarray, "h w c"]:
        """Read the pixels of a window."""
        rows, columns = slice(window.row, window.bottom), slice(window.column, window.right)
        return self.read_slices(self.level, rows, columns, bands)

    def read_slices(
        self, level: int, rows: slice, columns: slice, bands: Sequence[int]
    ) -> Shaped[np.ndarray, "h w c"]:
        """Read rows and columns of a level."""
        places: dict[str, slice | int] = {"t": 0, "z": 0, "y": rows, "x": columns}
        order = "".join(axis for axis in self.axes if axis in "cyxs")
        samples = dict(zip(self.axes, self.arrays[level].shape, strict=True)).get("s", 1)
        used = sorted({band // samples for band in bands})
        parts = []
        for channel in used if "c" in self.axes else [0]:
            index = tuple({**places, "c": channel, "s": slice(None)}[axis] for axis in self.axes)
            axes = order.replace("c", "")
            values = self.read_array(level, index)
            target = [axes.index(axis) for axis in "yxs" if axis in axes]
            parts.append(np.transpose(values, target).reshape(*self.shape_of(values, axes), -1))
        joined = np.concatenate(parts, axis=2)
        wanted = [used.index(b // samples) * samples + b % samples for b in bands]
        return np.ascontiguousarray(joined[..., wanted])

    @staticmethod
    def shape_of(values: Shaped[np.ndarray, "..."], axes: str) -> tuple[int, int]:
        """Return the height and width of an array with axes."""
        return values.shape[axes.index("y")], values.shape[axes.index("x")]

    def read_array(self, level: int, index: tuple[slice | int, ...]) -> Shaped[np.ndarray, "..."]:
        """Read a part of the array of a level.

        Raises:
            ImageError: The file is damaged.
        """
        try:
            return np.asarray(self.arrays[level][index])
        except Exception as error:  # the decoders of many formats document no error types
            raise ImageError(
                f"{self.name} cannot be read ({one_line(error)}): copy or download it again"
            ) from error

    def read_valid(self, window: TileWindow) -> Bool[np.ndarray, "h w"] | None:
        """Return which pixels of a window are tissue, None if all are."""
        if self.tissue is None:
            return None
        return self.tissue.read(
            slice(window.row, window.bottom), slice(window.column, window.right)
        )

    def read_reduced(self) -> UInt8[np.ndarray, "h w 3"]:
        """Return the whole image with a side of at most `MASK_SIDE`, from a coarse level."""
        y, x = self.axes.index("y"), self.axes.index("x")
        sides = [max(array.shape[y], array.shape[x]) for array in self.arrays]
        fitting = [n for n, side in enumerate(sides) if side >= MASK_SIDE]
        level = fitting[-1] if fitting else 0
        step = -(-sides[level] // MASK_SIDE)
        height = self.arrays[level].shape[y]
        width, rows = self.arrays[level].shape[x], max(step, 512 // step * step)
        strips = [
            self.read_slices(level, slice(top, min(top + rows, height)), slice(0, width), (0, 1, 2))
            for top in range(0, height, rows)
        ]
        return np.concatenate([strip[::step, ::step] for strip in strips])


def to_micrometres(value: float, unit: str | None, default: str = "µm") -> float | None:
    """Convert a length to micrometres; None for units such as pixels, and for lengths of 0."""
    factor = MICROMETRES.get(unit or default)
    return None if factor is None or not value > 0 else value * factor
