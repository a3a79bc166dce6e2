"""Prediction of rasters into files: equal to that of arrays, placed on the ground, resumable."""

import importlib.util
import json
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
from raster_files import ROTATED, UTM, read_band, write_raster
from tile_oracle import brightness, encoded_town, oracle

import unimask
from unimask.errors import ImageError, OutputError, SettingsError
from unimask.rasters.gdal_image import GdalImage
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

SIZE = (300, 410)
TILES = {"tile": 160, "overlap": 0.3}


@pytest.fixture(scope="module")
def town():
    return encoded_town(SIZE)


def expected_maps(result):
    """Return the ids and the classes of a result in memory."""
    ids = result.segmentation
    if result.task == "semantic":
        return None, np.where(ids < 0, 255, ids)
    table = np.full(ids.max() + 1, 255)
    for segment in result.segments:
        table[segment.id] = segment.label_id
    return ids, table[ids]


@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
def test_rasters_equal_the_prediction_of_the_same_pixels(town, tmp_path, task):
    import pyogrio
    import rasterio

    path = write_raster(tmp_path / "town.tif", town[0])
    model = oracle(4)
    expected = model.predict(town[0], task, **TILES)
    result = model.predict_raster(
        path, tmp_path / "out", task, polygons=("gpkg", "geojson"), **TILES, batch_size=2
    )
    ids, classes = expected_maps(expected)
    if task != "semantic":
        np.testing.assert_array_equal(read_band(result.paths["ids"]), ids)
    if task != "instance":
        np.testing.assert_array_equal(read_band(result.paths["classes"]), classes)
    assert result.counts == dict(Counter(s.label for s in expected.segments))
    assert len(result) == len(expected)
    for kind in set(result.paths) & {"ids", "classes"}:
        with rasterio.open(result.paths[kind]) as file:
            assert file.crs.to_epsg() == 32633 and tuple(file.transform)[:6] == UTM
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    meta, _, geometries, columns = pyogrio.raw.read(result.paths["gpkg"])
    table = dict(zip(meta["fields"].tolist(), columns, strict=True))
    assert meta["crs"] == "EPSG:32633" and len(geometries) == len(columns[0])
    areas = Counter()
    for number, pixels in zip(
        table["segment_id"].tolist(), table["area_pixels"].tolist(), strict=True
    ):
        areas[number] += pixels
    assert areas == {s.id: s.area for s in expected.segments}
    np.testing.assert_allclose(table["area_m2"], table["area_pixels"] * 0.25, atol=0.001)
    features = json.loads(result.paths["geojson"].read_text())["features"]
    assert [f["properties"]["segment_id"] for f in features] == table["segment_id"].tolist()


@pytest.mark.parametrize("transform", [UTM, ROTATED])
def test_exact_polygons_cover_the_pixels_of_their_ids(town, tmp_path, transform):
    import pyogrio
    import rasterio
    import shapely
    from rasterio.features import rasterize

    path = write_raster(tmp_path / "town.tif", town[0], transform)
    result = oracle(4).predict_raster(path, tmp_path / "out", "panoptic", tolerance=0, **TILES)
    _, _, geometries, columns = pyogrio.raw.read(result.paths["gpkg"])
    shapes = list(zip(shapely.from_wkb(geometries), columns[0].tolist(), strict=True))
    drawn = rasterize(shapes, SIZE, transform=rasterio.Affine(*transform), dtype=np.int32)
    np.testing.assert_array_equal(drawn, read_band(result.paths["ids"]))


def test_simplified_polygons_stay_within_the_tolerance(town, tmp_path):
    import pyogrio
    import shapely

    path = write_raster(tmp_path / "town.tif", town[0])
    polygons = []
    for tolerance in (0, 2):
        out = tmp_path / f"out{tolerance}"
        result = oracle(4).predict_raster(path, out, "instance", tolerance=tolerance, **TILES)
        polygons.append(shapely.from_wkb(pyogrio.raw.read(result.paths["gpkg"])[2]))
    assert shapely.is_valid(polygons[1]).all()
    assert (shapely.hausdorff_distance(*polygons) <= 2 * 0.5 + 1e-9).all()
    vertices = [shapely.get_num_coordinates(each).sum() for each in polygons]
    assert vertices[1] < vertices[0] / 2
    holes = [shapely.get_num_interior_rings(shapely.get_parts(each)).sum() for each in polygons]
    assert holes[0] == holes[1]


@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
def test_pixels_without_data_get_no_label(town, tmp_path, task):
    image = town[0].copy()
    image[:170, :200] = 0  # some tiles hold no data at all, others some
    path = write_raster(tmp_path / "town.tif", image, nodata=0)
    result = oracle(4).predict_raster(path, tmp_path / "out", task, **TILES)
    kind, void = ("classes", 255) if task == "semantic" else ("ids", 0)
    labels = read_band(result.paths[kind])
    assert (labels[:170, :200] == void).all()
    assert (labels[180:, 210:] != void).mean() > (0.02 if task == "instance" else 0.9)


class StoppingModel:
    """Function that raises an error at a call of the network."""

    def __init__(self, network, calls):
        self.network, self.calls = network, calls

    def __call__(self, pixel_values, task):
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        return self.network(pixel_values, task)


@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
def test_an_interrupted_run_continues(town, tmp_path, task, monkeypatch):
    monkeypatch.setattr("unimask.inference.tile_rows.SECONDS_PER_SAVE", -1.0)
    path = write_raster(tmp_path / "town.tif", town[0])
    whole = oracle(4).predict_raster(path, tmp_path / "whole", task, **TILES)
    stopped, calls = oracle(4), 0
    stopped.compiled = StoppingModel(stopped.network, 5)
    for _ in range(2):
        with suppress(KeyboardInterrupt):
            stopped.predict_raster(path, tmp_path / "out", task, **TILES)
    assert [p.name for p in (tmp_path / "out").iterdir() if p.suffix == ".tif"] == []
    with pytest.raises(OutputError, match=r"unfinished run with overlap 0\.3, not 0\.2"):
        oracle(4).predict_raster(path, tmp_path / "out", task, tile=160, overlap=0.2)
    model = oracle(4)
    counting = StoppingModel(model.network, 10**6)
    model.compiled = counting
    result = model.predict_raster(path, tmp_path / "out", task, **TILES)
    calls = 10**6 - counting.calls
    assert 0 < calls <= 8  # of 12 tiles, the first row of 4 was finished
    for kind in set(result.paths) & {"ids", "classes"}:
        np.testing.assert_array_equal(read_band(result.paths[kind]), read_band(whole.paths[kind]))
    assert result.counts == whole.counts
    assert not list((tmp_path / "out").glob(".*unfinished"))


def test_areas_of_other_reference_systems_are_those_on_the_ground(town, tmp_path):
    import pyogrio

    degrees = (1e-5, 0.0, 15.0, 0.0, -1e-5, 60.0)
    # Half a degree of longitude is shorter by cos(60°); Web Mercator stretches both axes by 2.
    mercator = (1.0, 0.0, 1_669_792.0, 0.0, -1.0, 8_399_738.0)
    feet = (1.0, 0.0, 1_000_000.0, 0.0, -1.0, 1_000_000.0)
    image = town[0][:160, :160]
    for crs, transform, area in [
        ("EPSG:4326", degrees, 1.1141 * 0.5580),
        ("EPSG:3857", mercator, 0.25),
        ("EPSG:2263", feet, 0.3048006**2),
    ]:
        path = write_raster(tmp_path / "town.tif", image, transform, crs)
        out = tmp_path / crs.replace(":", "_")
        result = oracle(4).predict_raster(path, out, "instance", tile=160)
        meta, _, _, columns = pyogrio.raw.read(result.paths["gpkg"])
        table = dict(zip(meta["fields"].tolist(), columns, strict=True))
        ratio = table["area_m2"] / table["area_pixels"]
        np.testing.assert_allclose(ratio, area, rtol=0.01)


def test_bad_input_has_one_line(town, tmp_path):
    model, out = oracle(4), tmp_path / "out"
    path = write_raster(tmp_path / "plain.tif", town[0], crs=None)
    with pytest.raises(SettingsError, match=r"no coordinate reference system.*areas"):
        model.predict_raster(path, out, "instance", areas=True, **TILES)
    with pytest.raises(SettingsError, match=r"bands 4, 3, 2 of .*from 1 to 3"):
        model.predict_raster(path, out, "instance", bands=(4, 3, 2), **TILES)
    with pytest.raises(SettingsError, match="polygons 'shp': choose some of gpkg, geojson"):
        model.predict_raster(path, out, "instance", polygons=("shp",), **TILES)
    with pytest.raises(SettingsError, match="tolerance is -1: pass a number from 0 to 100"):
        model.predict_raster(path, out, "instance", tolerance=-1, **TILES)
    result = model.predict_raster(path, out, "instance", polygons=("geojson",), **TILES)
    content = json.loads(result.paths["geojson"].read_text())
    assert "crs" not in content and "area_m2" not in content["features"][0]["properties"]
    result = model.predict_raster(GdalImage(path), out, "instance", polygons=(), **TILES)
    assert set(result.paths) == {"ids", "json"}


def test_a_damaged_file_has_one_line(tiny_model, tmp_path, geo_data):
    with pytest.raises(ImageError, match=r"corrupt\.tif cannot be read \("):
        unimask.load(tiny_model).predict_raster(
            geo_data / "rasterio_cc0/corrupt.tif", tmp_path / "out", tile=256
        )


FILES = (
    "rasterio_cc0/RGB.byte.tif",
    "rasterio_cc0/RGBA.uint16.tif",
    "rasterio_cc0/cogeo.tif",
    "rasterio_cc0/rgb1.tif",
    "rasterio_cc0/world.rgb.tif",
    "spacenet/sample_geotiff.tif",
    "spacenet/sample_geotiff_custom_proj.tif",
)


@pytest.mark.parametrize("name", FILES)
def test_results_of_real_rasters_land_on_them(tmp_path, geo_data, name):
    """Points within polygons, in degrees as a GIS shows them, lie on the pixels of their ids."""
    import pyogrio
    import pyproj
    import rasterio
    import shapely

    result = brightness().predict_raster(
        geo_data / name,
        tmp_path / "out",
        "semantic",
        tile=256,
        tolerance=0,
        polygons=("gpkg", "geojson"),
    )
    with GdalImage(geo_data / name) as image:
        pixels = ScaledImage.choose(image, 3).read(TileWindow(0, 0, *image.size))
    with rasterio.open(geo_data / name) as source, rasterio.open(result.paths["classes"]) as file:
        assert (file.crs, file.transform, file.shape) == (
            source.crs,
            source.transform,
            source.shape,
        )
        classes, valid = file.read(1), source.dataset_mask() > 0
        np.testing.assert_array_equal(
            classes, np.where(valid, pixels.mean(2, dtype=np.float32) > 60.5, 255)
        )
        crs = pyproj.CRS.from_wkt(source.crs.to_wkt())
        to_pixels = ~source.transform
    for kind in ("gpkg", "geojson"):
        meta, _, geometries, columns = pyogrio.raw.read(result.paths[kind])
        table = dict(zip(meta["fields"].tolist(), columns, strict=True))
        assert len(geometries)
        points = shapely.point_on_surface(shapely.from_wkb(geometries))
        to_degrees = pyproj.Transformer.from_crs(meta["crs"], crs.geodetic_crs, always_xy=True)
        back = pyproj.Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)
        x, y = back.transform(*to_degrees.transform(shapely.get_x(points), shapely.get_y(points)))
        columns_rows = [to_pixels * point for point in zip(x, y, strict=True)]
        found = [classes[int(row), int(column)] for column, row in columns_rows]
        assert found == table["label_id"].tolist()
        assert (table["area_m2"] > 0).all()


def test_predict_reads_rasters_in_python(tmp_path, town):
    """Small rasters are one tile at the model's size; pixels without data get no label."""
    image = town[0].copy()
    image[:50] = 0
    path = write_raster(tmp_path / "town.tif", image, nodata=0)
    model = oracle(4)
    result = model.predict(path, "panoptic")
    files = model.predict_raster(path, tmp_path / "out", "panoptic")
    np.testing.assert_array_equal(read_band(files.paths["ids"]), result.segmentation)
    assert not result.segmentation[:50].any()
    plain = model.predict(town[0], "panoptic").segmentation
    assert (plain[60:] > 0).mean() == pytest.approx((result.segmentation[60:] > 0).mean(), abs=0.01)
    with pytest.raises(ImageError, match=r"more than 1,000: use predict_raster"):
        model.predict(path, "panoptic", max_pixels=1000)
