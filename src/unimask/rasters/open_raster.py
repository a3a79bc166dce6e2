"""Opening of rasters: a file, a mosaic of several, or a folder with a file for each band."""

from collections.abc import Sequence
from pathlib import Path

from unimask.errors import ImageError, SettingsError
from unimask.processing.image_listing import subfolders
from unimask.rasters.band_files import BandFiles, find_band_files
from unimask.rasters.gdal_image import GdalImage
from unimask.rasters.large_image import LargeImage
from unimask.rasters.mosaic import Mosaic
from unimask.rasters.recognition import is_raster

RasterSource = str | Path | Sequence[str | Path] | LargeImage
"""File, folder or files of a mosaic, or an open image."""

Bands = Sequence[int] | Sequence[str] | None
"""Numbers of bands, counted from 1, or names of files with a band each; None for the usual ones."""


def open_raster(source: RasterSource, bands: Bands) -> tuple[LargeImage, Sequence[int] | None]:
    """Open a raster, and return it with the numbers of the bands to read.

    Args:
        source: File; a folder or several files, which are read as a mosaic; an open image; or, if
            bands are names, the folder of their files.
        bands: Bands of the channels.

    Raises:
        ImageError: A file cannot be read, or files do not go together.
        MissingExtraError: rasterio is not installed.
        SettingsError: Bands are names, and the source is no folder.
    """
    numbers = [band for band in bands or () if not isinstance(band, str)]
    names = [band for band in bands or () if isinstance(band, str)]
    if isinstance(source, LargeImage):
        if names:
            raise SettingsError(f"bands {', '.join(names)} of {source.name}: pass numbers of bands")
        return source, numbers or None
    if names:
        if not isinstance(source, str | Path) or not Path(source).is_dir() or numbers:
            raise SettingsError(
                f"bands {', '.join(map(str, bands or ()))} name files: pass the folder that holds "
                "all of them, or the bands of one file by numbers"
            )
        files = find_band_files(Path(source), names)
        paths = list(dict.fromkeys(files))
        return BandFiles(paths, source), [paths.index(path) + 1 for path in files]
    if not isinstance(source, str | Path):
        paths = list(map(Path, source))
        return Mosaic(paths, paths[0] if paths else "the mosaic"), numbers or None
    if Path(source).is_dir():
        return Mosaic(list_rasters(Path(source)), source), numbers or None
    return GdalImage(source), numbers or None


def list_rasters(folder: Path) -> list[Path]:
    """Return the georeferenced rasters in a folder and below it, sorted, without hidden ones.

    Folders with results of unimask are skipped.

    Raises:
        ImageError: There are none.
    """
    folders = [folder, *subfolders(folder)]
    paths = sorted(
        path
        for place in folders
        for path in place.iterdir()
        if not path.name.startswith(".") and is_raster(path)
    )
    if not paths:
        raise ImageError(f"{folder} has no georeferenced rasters: pass a folder of GeoTIFFs")
    return paths
