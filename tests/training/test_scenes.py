"""Training, evaluation and conversion of rendered scenes that were written as GeoTIFF."""

import importlib.util

import numpy as np
import pytest
from raster_files import write_raster

import unimask
from unimask.datasets import open_train_and_val
from unimask.datasets.rendered_town import TOWN_LABELS, TownScene
from unimask.datasets.rendered_town.geotiff import write_geotiff
from unimask.rasters.gdal_image import GdalImage

NAMES = ("rasterio", "shapely", "pyproj", "pyogrio")
pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, NAMES)), reason=f"needs {', '.join(NAMES)}"
    ),
    # rasterio multiplies transforms in a way that the package affine will deprecate.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

SIZE = (200, 200)


@pytest.fixture(scope="module")
def towns(tmp_path_factory):
    folder = tmp_path_factory.mktemp("towns")
    for number in range(3):
        scene = TownScene(seed=number, size=SIZE)
        write_geotiff(scene, folder / f"town{number}", origin=(5e5 + 900 * number, 5.4e6))
    return folder


def test_rendered_things_have_the_pixels_that_were_rendered(towns):
    train, _ = open_train_and_val(towns, chip=200)
    assert train.labels.names == ("building", "car", "background") and len(train) == 2
    for index in range(2):
        rendered = TownScene(seed=(0, 1, 2)[int(train.paths[index].parent.name[-1])], size=SIZE)
        label_ids, ids = rendered.render()[1:]
        sample = train[index]
        ours = np.array(train.labels.names)[sample.label_ids][sample.front - 1]
        theirs = np.where(ids > 0, np.array(TOWN_LABELS.names)[label_ids], "background")
        # Crowns of trees hide parts of the outlines in the rendered maps.
        for name in ("building", "car"):
            hidden = (ours == name) & (theirs != name)
            missing = (theirs == name) & (ours != name)
            assert missing.sum() <= 0.03 * (theirs == name).sum() + 3
            assert hidden.sum() <= 0.5 * (ours == name).sum()


def test_training_and_prediction_see_scenes_at_their_own_scale(command, towns, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    code, printed, err = command("check", towns, "--chip", "96")
    assert code == 0 and "GeoTIFF scenes: train 18" in printed, err
    options = ("--chip", "96", "--bands", "3,2,1", "--steps", "1", "--batch-size", "1")
    model = ("--model", "mask2former-nano", "--workers", "0", "--accumulate", "1")
    code, printed, err = command("train", towns, *options, *model, "--out", run)
    assert code == 0 and "1 of 3 scenes held out for validation" in printed, err
    predictor = unimask.load(run)
    rules = predictor.description.preprocessing
    assert (rules.keep_scale, rules.bands, rules.shortest_edge) == (True, (3, 2, 1), 96)
    code, printed, err = command("evaluate", towns, "--model", run)
    assert code == 0 and "9 images" in printed and "chips of 96 x 96" in printed, err
    image = predictor.predict_raster(towns / "town0/image.tif", out, "semantic", polygons=())
    assert '"tile": [200, 200]' in image.paths["json"].read_text()
    assert '"bands": [3, 2, 1]' in image.paths["json"].read_text()
    code, _, err = command("train", "--resume", "--out", run, "--steps", "2", "--workers", "0")
    assert code == 0, err
    code, _, err = command("train", "--resume", "--out", run, "--bands", "1,2,3")
    assert code == 2 and "--bands 1,2,3 contradicts the run" in err


def test_chips_are_converted_to_files_that_other_programs_read(command, towns, tmp_path):
    code, _, err = command("convert", towns, tmp_path / "coco", "--to", "coco", "--chip", "100")
    assert code == 0, err
    back = unimask.datasets.open_dataset(tmp_path / "coco", "val")
    source = open_train_and_val(towns, chip=100)[1]
    assert len(back) == len(source) == 4
    for index in range(4):
        np.testing.assert_array_equal(back[index].image, source[index].image)
        ours, theirs = (
            np.array(data.labels.names)[data[index].label_ids][data[index].front - 1]
            for data in (back, source)
        )
        np.testing.assert_array_equal(ours, theirs)


def test_16_bit_scenes_are_scaled_alike_in_training_and_prediction(tmp_path):
    pixels = np.random.default_rng(0).integers(200, 3000, (100, 120, 4)).astype(np.uint16)
    path = write_raster(tmp_path / "a.tif", pixels)
    rules = unimask.load("rendered-town")
    with GdalImage(path) as image:
        seen = rules.scale_image(image, (4, 3, 2), None)
        content = '{"type": "FeatureCollection", "features": []}'
        (tmp_path / "a.geojson").write_text(content)
        dataset = unimask.datasets.open_dataset(tmp_path, bands=(4, 3, 2), chip=64)
        sample, (_, window) = dataset[0], dataset.chips[0]
        np.testing.assert_array_equal(sample.image, seen.read(window))
