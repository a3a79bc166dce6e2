"""Mosaics of rasters, and bands in a file each: equal to one file of the same pixels."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
from raster_files import ROTATED, UTM, write_raster
from raster_files import read_band as read
from tile_oracle import brightness, encoded_town, oracle

from unimask.errors import ImageError, SettingsError
from unimask.rasters.mosaic import Mosaic
from unimask.rasters.open_raster import open_raster
from unimask.rasters.scaled_image import ScaledImage
from unimask.tiling.windows import TileWindow

NAMES = ("rasterio", "shapely", "pyproj", "pyogrio")
pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, NAMES)), reason=f"needs {', '.join(NAMES)}"
    ),
    # rasterio multiplies transforms in a way that the package affine will deprecate.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::unimask.processing.tiled.collect.TilingWarning"),
]

REAL_TILES = tuple(f"rasterio_cc0/rgb{number}.tif" for number in (1, 2, 3, 4))
SIZE = (300, 410)
TILES = {"tile": 160, "overlap": 0.3}


def write_tiles(folder, image, transform, corners, **options):
    """Write parts of an image as rasters, each from a corner on (row, column, height, width)."""
    a, b, c, d, e, f = transform
    folder.mkdir()
    paths = []
    for number, (row, column, height, width) in enumerate(corners):
        part = image[row : row + height, column : column + width]
        place = (a, b, c + a * column + b * row, d, e, f + d * column + e * row)
        paths.append(write_raster(folder / f"tile{number}.tif", part, place, **options))
    return paths


def whole(image):
    return TileWindow(0, 0, *image.size)


def test_real_overlapping_tiles_equal_the_merge_of_rasterio_and_the_original(geo_data):
    import rasterio
    from rasterio.merge import merge

    paths = [geo_data / name for name in REAL_TILES]
    with (
        Mosaic(paths, "tiles") as image,
        rasterio.open(geo_data / "rasterio_cc0/RGB.byte.tif") as original,
    ):
        pixels, transform = merge(paths, method="last")
        assert image.size == original.shape
        np.testing.assert_allclose(image.georeference.transform, tuple(transform)[:6])
        ours = image.read(whole(image), (0, 1, 2))
        np.testing.assert_array_equal(ours, np.moveaxis(pixels, 0, 2))
        np.testing.assert_array_equal(ours, np.moveaxis(original.read(), 0, 2))
        valid = original.dataset_mask() > 0
        np.testing.assert_array_equal(image.read_valid(whole(image)), valid)
        window = TileWindow(300, 350, 200, 100)
        inside = ours[300:500, 350:450]
        np.testing.assert_array_equal(image.read(window, (2, 0)), inside[..., [2, 0]])


@pytest.mark.parametrize("transform", [UTM, ROTATED])
def test_objects_that_cross_tiles_are_whole(tmp_path, transform, monkeypatch):
    monkeypatch.setattr("unimask.rasters.mosaic.MAX_OPEN_FILES", 2)
    town = encoded_town(SIZE)[0]
    corners = [(0, 0, 150, 230), (0, 200, 160, 210), (150, 0, 150, 200), (140, 190, 160, 220)]
    write_tiles(tmp_path / "tiles", town, transform, corners)
    path = write_raster(tmp_path / "town.tif", town, transform)
    expected = oracle(4).predict_raster(path, tmp_path / "whole", "panoptic", **TILES)
    result = oracle(4).predict_raster(tmp_path / "tiles", tmp_path / "out", "panoptic", **TILES)
    for kind in ("ids", "classes"):
        np.testing.assert_array_equal(read(result.paths[kind]), read(expected.paths[kind]))
    assert result.counts == expected.counts and result.paths["ids"].name == "tiles_ids.tif"
    summaries = [json.loads(each.paths["json"].read_text()) for each in (result, expected)]
    np.testing.assert_allclose(*(summary["transform"] for summary in summaries))


def test_later_tiles_are_on_top_except_where_they_have_no_data(tmp_path):
    lower = np.full((40, 60, 1), 10, np.uint8)
    upper = np.full((40, 60, 1), 20, np.uint8)
    upper[:, :20] = 0
    folder = tmp_path / "tiles"
    paths = write_tiles(folder, lower, UTM, [(0, 0, 40, 60)], nodata=0)
    place = (*UTM[:2], UTM[2] + 0.5 * 30, *UTM[3:5], UTM[5] - 0.5 * 50)
    paths.append(write_raster(folder / "upper.tif", upper, place, nodata=0))
    with Mosaic(paths, "tiles") as image:
        assert image.size == (90, 90)
        expected = np.zeros((90, 90), np.uint8)
        expected[:40, :60] = 10
        expected[50:, 50:] = 20
        np.testing.assert_array_equal(image.read(whole(image), (0,))[..., 0], expected)
        np.testing.assert_array_equal(image.read_valid(whole(image)), expected > 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crs": "EPSG:32634"}, "differ in their coordinate reference system"),
        ({"transform": (0.25, 0, 5e5, 0, -0.25, 5.4e6)}, "differ in the size or direction"),
        ({"image": np.zeros((40, 40, 4), np.uint8)}, r"has 4 bands of uint8, but .* has 3 bands"),
        ({"image": np.zeros((40, 40, 3), np.uint16)}, "has 3 bands of uint16, but"),
        ({"crs": None, "transform": (1, 0, 0, 0, 1, 0)}, "is not georeferenced"),
        ({"transform": (0.5, 0, 9e14, 0, -0.5, 5.4e6)}, "pixels apart: pass those of one place"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_tiles_that_differ_have_one_line(tmp_path, change, message):
    values = {"image": np.zeros((40, 40, 3), np.uint8), "transform": UTM, "crs": "EPSG:32633"}
    paths = [
        write_raster(tmp_path / "a.tif", **values),
        write_raster(tmp_path / "b.tif", **(values | change)),
    ]
    with pytest.raises(ImageError, match=message) as failure:
        open_raster(paths, None)
    assert "b.tif" in str(failure.value) or "apart" in message


def write_bands(folder, image):
    """Write Sentinel-2's bands: a file of each band, some in another resolution."""
    (folder / "R10m").mkdir(parents=True)
    for index, name in enumerate(("B02", "B03", "B04")):
        path = folder / "R10m" / f"T32TQM_20260714T101021_{name}_10m.tif"
        write_raster(path, image[..., index : index + 1], nodata=0)
    write_raster(folder / "T32TQM_20260714T101021_B11_20m.tif", image[::2, ::2, :1])
    (folder / "MTD_B04.xml").write_text("<metadata/>")


def test_bands_in_files_equal_those_of_one_file(tmp_path):
    pixels = np.random.default_rng(1).integers(1, 9000, (120, 150, 3)).astype(np.uint16)
    pixels[:30, :40] = 0
    write_bands(tmp_path / "S2", pixels)
    path = write_raster(tmp_path / "scene.tif", pixels, nodata=0)
    model = brightness()
    expected = model.predict_raster(path, tmp_path / "one", "semantic", tile=64, bands=(3, 2, 1))
    result = model.predict_raster(
        tmp_path / "S2", tmp_path / "out", "semantic", tile=64, bands=("B04", "B03", "B02")
    )
    labels = read(result.paths["classes"])
    np.testing.assert_array_equal(labels, read(expected.paths["classes"]))
    assert (labels == 255).sum() == 1200 and result.paths["classes"].name == "S2_classes.tif"
    summaries = [json.loads(each.paths["json"].read_text()) for each in (result, expected)]
    limits = [np.array(summary["settings"]["limits"]) for summary in summaries]
    np.testing.assert_array_equal(*limits)
    image, numbers = open_raster(tmp_path / "S2", ("B04", "B02", "B04"))
    with image:
        assert numbers == [1, 2, 1]
        values = ScaledImage.choose(image, 3, bands=numbers).read(whole(image))
        np.testing.assert_array_equal(values[..., 0], values[..., 2])


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        (("B04", "B03", "B11"), r"B11_20m\.tif has 75 x 60 pixels, but .*B04_10m\.tif has 150 x"),
        (("B04", "B08"), r"S2 has no file of band B08 \(it holds T32TQM"),
        (("B04", "10m"), r"S2 has several files of band 10m \(R10m/T32TQM"),
        (("B04", "MTD_B04.xml"), r"MTD_B04\.xml cannot be read"),
    ],
)
def test_bands_that_do_not_go_together_have_one_line(tmp_path, bands, message):
    write_bands(tmp_path / "S2", np.ones((120, 150, 3), np.uint16))
    with pytest.raises(ImageError, match=message):
        open_raster(tmp_path / "S2", bands)
    with pytest.raises(SettingsError, match="name files: pass the folder"):
        open_raster(tmp_path / "S2" / "MTD_B04.xml", bands)


def test_the_command_line_joins_files(command, tiny_model, tmp_path, geo_data):
    folder = tmp_path / "tiles"
    folder.mkdir()
    for name in REAL_TILES:
        shutil.copy(geo_data / name, folder)
    options = ("--model", tiny_model, "--task", "semantic", "--tile", "256", "--polygons", "none")
    code, printed, err = command("predict", folder, "--mosaic", *options, "--out", tmp_path / "a")
    assert code == 0 and "718x791" in printed, err
    files = sorted(folder.iterdir())
    code, _, err = command("predict", *files, "--mosaic", *options, "--out", tmp_path / "b")
    assert code == 0, err
    original = geo_data / "rasterio_cc0/RGB.byte.tif"
    code, _, err = command("predict", original, *options, "--out", tmp_path / "c")
    assert code == 0, err
    names = ("a/tiles", "b/mosaic", "c/RGB.byte")
    maps = [read(tmp_path / f"{name}_classes.tif") for name in names]
    np.testing.assert_array_equal(maps[0], maps[2])
    np.testing.assert_array_equal(maps[1], maps[2])
    write_bands(tmp_path / "S2", np.full((60, 80, 3), 7, np.uint16))
    bands = ("--bands", "B04,B03,B02")
    code, _, err = command("predict", tmp_path / "S2", *bands, *options, "--out", tmp_path / "d")
    assert code == 0 and (tmp_path / "d/S2_classes.tif").is_file(), err
    code, _, err = command("predict", folder, "--mosaic", "--tta", *options, "--out", tmp_path)
    assert code == 2 and "--tta does not go with images of several files: omit it" in err
