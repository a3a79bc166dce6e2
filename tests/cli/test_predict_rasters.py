"""`unimask predict` for rasters: files on the ground, beside images, and clear errors."""

import importlib.util
import json
import warnings

import numpy as np
import pytest
from PIL import Image

NAMES = ("rasterio", "shapely", "pyproj", "pyogrio")
pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, NAMES)), reason=f"needs {', '.join(NAMES)}"
    ),
    # rasterio multiplies transforms in a way that the package affine will deprecate.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


@pytest.fixture
def raster(tmp_path):
    import rasterio

    path = tmp_path / "images" / "scene.tif"
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 3000, (4, 90, 130)).astype(np.uint16)
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(2, 0, 5e5, 0, -2, 5e6)}
    shape = {"height": 90, "width": 130, "count": 4, "dtype": "uint16"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        with rasterio.open(path, "w", driver="GTiff", **shape, **place) as file:
            file.write(pixels)
    return path


def test_rasters_and_images_of_a_folder(command, tiny_model, raster, tmp_path):
    Image.new("RGB", (60, 40)).save(raster.parent / "photo.png")
    out = tmp_path / "out"
    options = ("--model", tiny_model, "--bands", "4,3,2", "--tile", "64", "--polygons", "geojson")
    arguments = (*options, "--task", "semantic", "--out", out)
    code, printed, err = command("predict", raster.parent, *arguments)
    assert code == 0, err
    assert "90x130" in printed and "40x60" in printed
    names = {path.name for path in out.iterdir()}
    assert {"scene_classes.tif", "scene.geojson", "scene.json", "photo_ids.png"} <= names
    summary = json.loads((out / "scene.json").read_text())
    assert summary["settings"]["bands"] == [4, 3, 2] and summary["settings"]["tile"] == [64, 64]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "4 bands, but the model reads 3 channels: choose 3 bands"),
        (("--bands", "4,x"), "pass the folder that holds them, or numbers of bands"),
        (("--bands", "1,2,3", "--polygons", "shp"), "--polygons shp: pass gpkg, geojson or both"),
        (("--bands", "1,2,3", "--confidence"), "--confidence does not go with the raster"),
    ],
)
def test_bad_options_have_one_line(command, tiny_model, raster, tmp_path, options, message):
    arguments = ("--model", tiny_model, "--out", tmp_path / "out", *options)
    code, _, err = command("predict", raster, *arguments)
    assert code == 2 and message in err
    assert not list((tmp_path / "out").glob(".*unfinished"))


def test_options_of_rasters_need_one(command, tiny_model, tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "photo.png")
    arguments = ("--model", tiny_model, "--out", tmp_path / "out", "--bands", "3,2,1")
    code, _, err = command("predict", tmp_path / "photo.png", *arguments)
    assert code == 2 and "--bands applies to georeferenced rasters" in err
