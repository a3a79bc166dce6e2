"""Small rasters for tests."""

import numpy as np

UTM = (0.5, 0.0, 500_000.0, 0.0, -0.5, 5_400_000.0)
ROTATED = (0.4, 0.3, 500_000.0, 0.3, -0.4, 5_400_000.0)
"""Transforms of pixels of half a metre, without and with rotation."""


def write_raster(path, image, transform=UTM, crs="EPSG:32633", **options):
    """Write an array (height, width, bands) as GeoTIFF."""
    import rasterio

    height, width, count = image.shape
    shape = {"height": height, "width": width, "count": count, "dtype": image.dtype}
    place = {"crs": crs, "transform": rasterio.Affine(*transform)}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place, **options) as file:
        file.write(np.moveaxis(image, 2, 0))
    return path


def read_band(path):
    """Read the first band of a raster."""
    import rasterio

    with rasterio.open(path) as file:
        return file.read(1)
