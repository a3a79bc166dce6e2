"""Rasters of ids and classes as cloud-optimised GeoTIFF, written in strips of rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from unimask.errors import OutputError, one_line
from unimask.labels import LabelSet
from unimask.rasters.gdal_image import import_rasterio
from unimask.rasters.large_image import Georeference
from unimask.visualization.palette import class_colour

BLOCK = 512
"""Height and width of the blocks of a file; strips have this height."""

PROFILE = {
    "driver": "GTiff",
    "count": 1,
    "tiled": True,
    "blockxsize": BLOCK,
    "blockysize": BLOCK,
    "compress": "deflate",
    "zlevel": 1,
    "bigtiff": "if_safer",
}
"""Options of the temporary file."""

COG_OPTIONS = {
    "driver": "COG",
    "compress": "deflate",
    "level": "1",
    "predictor": "yes",
    "blocksize": BLOCK,
    "overview_resampling": "nearest",
    "overview_compress": "deflate",
    "bigtiff": "if_safer",
}
"""Options of the finished file."""


class LabelRaster:
    """Raster that is written from top to bottom.

    Args:
        file: Open file of rasterio.
    """

    def __init__(self, file: Any) -> None:
        self.file = file
        self.row = 0

    def write(self, strip: Integer[np.ndarray, "h w"]) -> None:
        """Write the next rows."""
        height, width = strip.shape
        window = ((self.row, self.row + height), (0, width))
        self.file.write(strip.astype(self.file.dtypes[0]), 1, window=window)
        self.row += height


@contextmanager
def label_raster(
    path: Path,
    size: tuple[int, int],
    georeference: Georeference | None,
    *,
    dtype: str,
    nodata: int,
    labels: LabelSet | None = None,
) -> Iterator[LabelRaster]:
    """Open a raster for writing; it becomes a cloud-optimised GeoTIFF at the end of the block.

    Args:
        path: File to write; a temporary file is written beside it.
        size: Height and width in pixels.
        georeference: Place of the image on the ground, None for none.
        dtype: Name of the dtype of the values.
        nodata: Value of pixels without a label.
        labels: Classes, whose colours and names are added to a raster of label ids.

    Raises:
        OutputError: The file cannot be written.
    """
    rasterio = import_rasterio()
    place = {}
    if georeference is not None:
        place["transform"] = rasterio.Affine(*georeference.transform)
        if georeference.crs is not None:
            place["crs"] = rasterio.CRS.from_wkt(georeference.crs)
    shape = {"height": size[0], "width": size[1], "dtype": dtype, "nodata": nodata}
    temporary = path.with_name(f"{path.stem}.blocks.tif")
    try:
        with rasterio.open(temporary, "w", **PROFILE, **shape, **place) as file:
            if labels is not None:
                add_classes(file, labels)
            yield LabelRaster(file)
        import_module("rasterio.shutil").copy(temporary, path, **COG_OPTIONS)
    except rasterio.errors.RasterioError as error:
        reason = one_line(error.__cause__ or error)
        raise OutputError(f"cannot write {path}: {reason}; choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def add_classes(file: Any, labels: LabelSet) -> None:
    """Add the colours and names of classes, as far as the format can hold them."""
    file.update_tags(1, **{str(index): name for index, name in enumerate(labels.names)})
    if file.dtypes[0] == "uint8":
        colours = (class_colour(index, labels.colour(index)) for index in range(len(labels)))
        file.write_colormap(1, dict(enumerate(colours)))
