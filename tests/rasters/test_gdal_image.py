"""Rasters read by GDAL: real files of several kinds against rasterio, and clear errors."""

import importlib.util
import sys
import warnings

import numpy as np
import pytest

from unimask.errors import ImageError, MissingExtraError
from unimask.rasters.gdal_image import GdalImage
from unimask.rasters.scaled_image import ScaledImage
from unimask.tiling.windows import TileWindow

pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(importlib.util.find_spec("rasterio") is None, reason="needs rasterio"),
    # rasterio multiplies transforms in a way that the package affine will deprecate.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


@pytest.mark.parametrize(
    ("name", "bands"),
    [
        ("rasterio_cc0/RGB.byte.tif", (0, 1, 2)),
        ("rasterio_cc0/RGBA.uint16.tif", (2, 1, 0)),
        ("rasterio_cc0/cogeo.tif", (0, 1, 2)),
        ("rasterio_cc0/rgb1_fake_nir_epsg3857.tif", (0, 0, 0)),
        ("spacenet/sample_geotiff.tif", (0, 0, 0)),
        ("spacenet/sample_geotiff_custom_proj.tif", (0, 1, 2)),
    ],
)
def test_windows_equal_those_of_rasterio(geo_data, name, bands):
    import rasterio

    window = TileWindow(31, 57, 100, 200)
    with GdalImage(geo_data / name) as image, rasterio.open(geo_data / name) as file:
        assert image.size == file.shape
        assert image.choose_bands(3) == bands
        area = ((31, 131), (57, 257))
        expected = file.read([band + 1 for band in bands], window=area)
        np.testing.assert_array_equal(image.read(window, bands), np.moveaxis(expected, 0, 2))
        valid = file.dataset_mask(window=area) > 0
        ours = image.read_valid(window)
        np.testing.assert_array_equal(True if ours is None else ours, valid)
        reference = image.georeference
        assert reference.transform == tuple(file.transform)[:6]
        assert rasterio.CRS.from_wkt(reference.crs) == file.crs


def test_16_bit_values_are_scaled_by_percentiles_of_pixels_with_data(geo_data):
    with GdalImage(geo_data / "spacenet/sample_geotiff_custom_proj.tif") as image:
        scaled = ScaledImage.choose(image, 3, bands=(3, 2, 1))
        values = image.read(TileWindow(0, 0, 512, 512), (2, 1, 0)).reshape(-1, 3)
        np.testing.assert_allclose(scaled.limits, np.percentile(values, (0.1, 99.9), axis=0).T)


def test_overviews_are_used_for_statistics(tmp_path, monkeypatch):
    import rasterio

    monkeypatch.setattr("unimask.rasters.gdal_image.OVERVIEW_SIDE", 64)
    path, pixels = tmp_path / "ramp.tif", np.arange(256 * 256, dtype=np.uint16).reshape(256, 256)
    profile = {"driver": "GTiff", "height": 256, "width": 256, "count": 1, "dtype": "uint16"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", tiled=True, blockxsize=64, blockysize=64, **profile) as file:
            file.write(pixels, 1)
            file.build_overviews([2, 4])
    with GdalImage(path) as image:
        assert image.georeference is None
        (part,) = image.sample((0,))
        assert part[0].shape == (64, 64, 1) and part[1] is None
        scaled = ScaledImage.choose(image, 3)
        np.testing.assert_allclose(scaled.limits[0], np.percentile(pixels, (0.1, 99.9)), atol=1000)


def test_palettes_are_rgb(tmp_path):
    import rasterio

    path, index = tmp_path / "palette.tif", np.array([[0, 1], [2, 1]], np.uint8)
    profile = {"driver": "GTiff", "height": 2, "width": 2, "count": 1, "dtype": "uint8"}
    colours = {0: (1, 2, 3, 255), 1: (40, 50, 60, 255), 2: (7, 8, 9, 255)}
    with rasterio.open(path, "w", transform=rasterio.Affine(2, 0, 0, 0, -2, 0), **profile) as file:
        file.write(index, 1)
        file.write_colormap(1, colours)
    with GdalImage(path) as image:
        assert image.num_bands == 3 and image.choose_bands(3) == (0, 1, 2)
        pixels = image.read(TileWindow(0, 0, 2, 2), (0, 1, 2))
    assert pixels.tolist() == [[[1, 2, 3], [40, 50, 60]], [[7, 8, 9], [40, 50, 60]]]


def test_damaged_and_missing_files_have_one_line(geo_data, tmp_path):
    with (
        GdalImage(geo_data / "rasterio_cc0/corrupt.tif") as image,
        pytest.raises(ImageError, match=r"corrupt\.tif cannot be read \(.*\): copy or download"),
    ):
        image.read(TileWindow(0, 0, 1024, 1024), (0, 1, 2))
    with pytest.raises(ImageError, match="does not exist"):
        GdalImage(tmp_path / "none.tif")
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(ImageError, match=r"text\.tif cannot be read \("):
        GdalImage(tmp_path / "text.tif")


def test_without_rasterio_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtraError, match=r"unimask\[geo\]"):
        GdalImage("any.tif")
