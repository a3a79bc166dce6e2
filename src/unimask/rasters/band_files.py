"""Bands in a file each, as Landsat and Sentinel-2 are delivered, as one large image."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped

from unimask.errors import ImageError
from unimask.rasters.file_stamps import file_stamps
from unimask.rasters.gdal_image import GdalImage
from unimask.rasters.large_image import LargeImage
from unimask.tiling.windows import TileWindow

IGNORED_SUFFIXES = frozenset({".aux", ".cpg", ".json", ".md5", ".ovr", ".txt", ".xml"})
"""Suffixes of files beside bands."""


class BandFiles(LargeImage):
    """Image of which each band is a file.

    Args:
        paths: File of each band.
        name: Name of the image in messages, such as the folder of the files.

    Raises:
        ImageError: A file cannot be read, has several bands, or differs in its grid.
        MissingExtraError: rasterio is not installed.
    """

    def __init__(self, paths: Sequence[Path], name: str | Path) -> None:
        self.name = str(name)
        self.images: list[GdalImage] = []
        for path in paths:
            self.images.append(image := GdalImage(path))
            if image.num_bands != 1:
                raise ImageError(
                    f"{path} has {image.num_bands} bands: pass files of one band each, or choose "
                    "bands of one file by numbers"
                )
            check_grid(image, self.images[0])
        first = self.images[0]
        self.size, self.georeference = first.size, first.georeference
        self.num_bands = len(self.images)
        self.dtype = np.result_type(*(image.dtype for image in self.images))
        self.options = {"files": file_stamps(paths)}

    def read(self, window: TileWindow, bands: Sequence[int]) -> Shaped[np.ndarray, "h w c"]:
        """Read the pixels of a window."""
        layers = {band: self.images[band].read(window, (0,)) for band in set(bands)}
        return np.concatenate([layers[band] for band in bands], axis=2).astype(self.dtype)

    def read_valid(self, window: TileWindow) -> Bool[np.ndarray, "h w"] | None:
        """Return which pixels of a window have a value in any band, None if all do."""
        valid = np.zeros((window.height, window.width), bool)
        for image in self.images:
            inside = image.read_valid(window)
            if inside is None:
                return None
            valid |= inside
        return None if valid.all() else valid

    def close(self) -> None:
        """Close the files."""
        for image in self.images:
            image.close()


def check_grid(image: GdalImage, first: GdalImage) -> None:
    """Test that a band has the size and place of the first one.

    Raises:
        ImageError: It has not.
    """
    if image.size != first.size:
        sizes = [f"{width} x {height}" for height, width in (image.size, first.size)]
        raise ImageError(
            f"{image.name} has {sizes[0]} pixels, but {first.name} has {sizes[1]}: choose bands of "
            "one resolution, or resample one (gdalwarp -ts WIDTH HEIGHT)"
        )
    ours, theirs = image.georeference, first.georeference
    same = (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        pixel = max(map(abs, theirs.transform[:2]))
        same = image.file.crs == first.file.crs and np.allclose(
            ours.transform, theirs.transform, rtol=1e-9, atol=0.01 * pixel
        )
    if not same:
        raise ImageError(
            f"{image.name} and {first.name} lie at different places: choose bands of one scene, or "
            "reproject one (gdalwarp)"
        )


def find_band_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the file of each band in a folder.

    A name is that of a file, or one that the names of files contain as a word: B04 is
    T32TQM_20260714_B04_10m.jp2.

    Args:
        folder: Folder of the files, which are searched in its subfolders too.
        names: Name of each band.

    Raises:
        ImageError: No file, or several, have the name of a band.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() not in IGNORED_SUFFIXES and path.is_file()
    )
    return [find_band_file(folder, files, name) for name in names]


def find_band_file(folder: Path, files: Sequence[Path], name: str) -> Path:
    """Return the only file of a band.

    Raises:
        ImageError: There is none, or there are several.
    """
    if (path := folder / name).is_file():
        return path
    word = re.compile(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", re.IGNORECASE)
    found = [path for path in files if path.name == name] or [
        path for path in files if word.search(path.stem)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        shown = ", ".join(path.name for path in files[:4]) or "no files"
        raise ImageError(f"{folder} has no file of band {name} (it holds {shown}): check --bands")
    shown = ", ".join(str(path.relative_to(folder)) for path in found[:3])
    raise ImageError(f"{folder} has several files of band {name} ({shown}): name one in --bands")
