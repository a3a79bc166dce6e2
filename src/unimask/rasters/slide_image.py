"""Whole-slide images that OpenSlide reads: Aperio, Hamamatsu, Leica, MIRAX, Philips and others."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from unimask.errors import ImageError, one_line
from unimask.extras import import_extra
from unimask.rasters.large_image import Georeference, LargeImage
from unimask.rasters.levels import Level, choose_level
from unimask.rasters.tissue import MASK_SIDE, TissueMap
from unimask.tiling.windows import TileWindow


class SlideImage(LargeImage):
    """Slide at one of its levels.

    Coordinates of results are those of the finest level, as QuPath expects them.

    Args:
        path: File, for MIRAX the `.mrxs` file.
        mpp: Micrometres per pixel of the network's input; see `choose_level`.
        level: Index of the level; see `choose_level`.
        tissue: Whether glass is left out.

    Attributes:
        scale: Pixels of the network's input per pixel of the level.

    Raises:
        ImageError: The file is missing, damaged or no slide, or has no such level.
        MissingExtraError: OpenSlide is not installed.
    """

    num_bands = 3
    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        path: str | Path,
        *,
        mpp: float | None = None,
        level: int | None = None,
        tissue: bool = True,
    ) -> None:
        openslide = import_extra("openslide", "slide")
        self.name = str(path)
        if not os.path.exists(path):
            raise ImageError(f"{path} does not exist: check the path")
        with self.read_errors():
            self.file = openslide.OpenSlide(self.name)
        levels = self.read_levels()
        try:
            self.level, self.scale = choose_level(levels, mpp=mpp, level=level, name=self.name)
        except ImageError:
            self.close()
            raise
        self.size, self.mpp = levels[self.level]
        self.factor = self.file.level_downsamples[self.level]
        if self.level:
            self.georeference = Georeference(None, (self.factor, 0.0, 0.0, 0.0, self.factor, 0.0))
        self.tissue = TissueMap(self.size, self.read_reduced) if tissue else None
        self.options = {"level": self.level, "tissue": tissue}
        self.last: tuple[TileWindow, UInt8[np.ndarray, "h w 4"]] | None = None
        background = self.file.properties.get("openslide.background-color", "ffffff")
        self.background = np.array(list(bytes.fromhex(background)), np.float32)

    def read_levels(self) -> list[Level]:
        """Return the levels of the file, the finest first."""
        try:
            finest = float(self.file.properties["openslide.mpp-x"])
        except (KeyError, ValueError):
            finest = None
        dimensions, factors = self.file.level_dimensions, self.file.level_downsamples
        return [
            Level((height, width), finest and finest * factor)
            for (width, height), factor in zip(dimensions, factors, strict=True)
        ]

    def read(self, window: TileWindow, bands: Sequence[int]) -> UInt8[np.ndarray, "h w c"]:
        """Read the pixels of a window; those that were not scanned have the background's colour."""
        rgba = self.read_rgba(window)
        opacity = rgba[..., 3:]
        if (opacity == 255).all():
            return np.ascontiguousarray(rgba[..., list(bands)])
        share = opacity.astype(np.float32) / 255
        blended = rgba[..., :3] * share + self.background * (1 - share)
        return np.rint(blended).astype(np.uint8)[..., list(bands)]

    def read_rgba(self, window: TileWindow) -> UInt8[np.ndarray, "h w 4"]:
        """Read red, green, blue and opacity of a window, once if it is read twice in a row."""
        if self.last is None or self.last[0] != window:
            corner = round(window.column * self.factor), round(window.row * self.factor)
            size = window.width, window.height
            with self.read_errors():
                region = self.file.read_region(corner, self.level, size)
            self.last = window, np.asarray(region)
        return self.last[1]

    def read_valid(self, window: TileWindow) -> Bool[np.ndarray, "h w"] | None:
        """Return which pixels of a window were scanned and are tissue, None if all."""
        valid = None
        if self.tissue is not None:
            valid = self.tissue.read(
                slice(window.row, window.bottom), slice(window.column, window.right)
            )
            if valid is not None and not valid.any():
                return valid
        is_scanned = self.read_rgba(window)[..., 3] > 0
        if is_scanned.all():
            return valid
        return is_scanned if valid is None else is_scanned & valid

    def read_reduced(self) -> UInt8[np.ndarray, "h w 3"]:
        """Return the whole image with a side of at most `MASK_SIDE`."""
        with self.read_errors():
            return np.asarray(self.file.get_thumbnail((MASK_SIDE, MASK_SIDE)).convert("RGB"))

    @contextmanager
    def read_errors(self) -> Iterator[None]:
        """Convert errors of OpenSlide while the file is read.

        Raises:
            ImageError: One was raised.
        """
        openslide = import_extra("openslide", "slide")
        try:
            yield
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise ImageError(
                f"{self.name} is no slide that OpenSlide reads: pass a slide, OME-TIFF or OME-Zarr"
            ) from error
        except (openslide.OpenSlideError, OSError, ValueError) as error:
            raise ImageError(
                f"{self.name} cannot be read ({one_line(error)}): copy or download it again"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self.file.close()
