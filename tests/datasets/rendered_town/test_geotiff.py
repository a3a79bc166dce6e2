"""GeoTIFF and GeoJSON of a scene: exact arrays, coordinates that agree, and clear errors."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from unimask.datasets.rendered_town import TOWN_LABELS, TownScene, Window
from unimask.datasets.rendered_town.classes import TREE_LABEL
from unimask.datasets.rendered_town.geotiff import LAYERS, ORIGIN, to_feature, write_geotiff
from unimask.datasets.rendered_town.layout import Thing
from unimask.errors import MissingExtraError, OutputError, SettingsError

SCENE = TownScene(seed=3, size=(300, 360), scale=0.25)
WINDOW = Window(10, 20, 280, 330)

missing = importlib.util.find_spec("rasterio") is None
needs_rasterio = [
    pytest.mark.extra,
    pytest.mark.skipif(missing, reason="needs rasterio"),
    # rasterio multiplies transforms in a way that the package affine will deprecate.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


def needs_geo(test):
    for mark in needs_rasterio:
        test = mark(test)
    return test


@needs_geo
@pytest.mark.parametrize("window", [None, WINDOW])
def test_rasters_and_polygons_agree(tmp_path, window, monkeypatch):
    import rasterio
    from rasterio.features import rasterize

    monkeypatch.setattr("unimask.datasets.rendered_town.scene.TILE", 128)
    calls = []
    write_geotiff(
        SCENE, tmp_path / "town", window=window, progress=lambda *done: calls.append(done)
    )
    assert calls[-1] == (9, 9)
    window = window or Window(0, 0, *SCENE.size)
    expected = SCENE.render(window)
    for name, values in zip(LAYERS, expected, strict=True):
        with rasterio.open(tmp_path / "town" / f"{name}.tif") as file:
            stored = np.moveaxis(file.read(), 0, -1)
            assert (stored.reshape(values.shape) == values).all()
            assert file.crs.to_epsg() == 32633 and file.profile["tiled"]
            corner = (ORIGIN[0] + window.column * 0.25, ORIGIN[1] - window.row * 0.25)
            assert file.xy(0, 0) == pytest.approx((corner[0] + 0.125, corner[1] - 0.125))
            transform = file.transform
    with rasterio.open(tmp_path / "town" / "label_ids.tif") as file:
        assert file.colormap(1)[0][:3] == TOWN_LABELS.colours[0]
        assert file.tags(1)["1"] == "car"
    collection = json.loads((tmp_path / "town" / "things.geojson").read_text())
    assert collection["crs"]["properties"]["name"].endswith("::32633")
    shapes = [(f["geometry"], f["properties"]["id"]) for f in collection["features"]]
    drawn = rasterize(shapes, expected.ids.shape, transform=transform, dtype="int32")
    visible = expected.label_ids != TREE_LABEL
    assert (drawn == expected.ids)[visible].mean() > 0.998


@needs_geo
def test_wrong_arguments_are_errors_that_leave_no_files(tmp_path):
    with pytest.raises(SettingsError, match="EPSG:1 "):
        write_geotiff(SCENE, tmp_path / "town", epsg=1)
    with pytest.raises(SettingsError, match="time"):
        write_geotiff(SCENE, tmp_path / "town", time=1e9)
    assert not list(tmp_path.iterdir())
    (tmp_path / "town").mkdir()
    (tmp_path / "town" / "mine.txt").touch()
    with pytest.raises(OutputError, match=r"mine\.txt"):
        write_geotiff(SCENE, tmp_path / "town")


def test_without_rasterio_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtraError, match=r"unimask\[geo\]"):
        write_geotiff(SCENE, tmp_path / "town")
    assert not list(tmp_path.iterdir())


def test_features_are_closed_rings_in_metres():
    thing = Thing(7, 1, np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0]]))
    feature = to_feature(thing, (100.0, 50.0))
    assert feature["properties"] == {"id": 7, "label": "car"}
    assert feature["geometry"]["coordinates"] == [
        [[100.0, 50.0], [102.0, 50.0], [102.0, 49.0], [100.0, 50.0]]
    ]
