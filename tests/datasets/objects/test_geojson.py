"""GeoJSON in pixels, as QuPath exports it and as unimask writes it."""

import json
import warnings

import numpy as np
import pytest
from outlines import CORNER, IMAGES, INSIDE, SIZE, SQUARE, draw, outline, write_json
from tool_exports import geojson_collection as collection
from tool_exports import geojson_feature as feature
from tool_exports import geojson_ring as ring
from tool_exports import write_geojson

from unimask.datasets import detect_format, open_dataset
from unimask.datasets.interface import DataWarning
from unimask.errors import DataError

pytest.importorskip("pycocotools.mask")


def write(folder, *features, **others):
    draw(folder, "a.png")
    write_json(folder / "a.geojson", collection(*features, **others))
    return folder


def test_qupaths_exports_have_the_expected_classes_objects_and_pixels(tmp_path):
    write_geojson(tmp_path)
    assert detect_format(tmp_path).format == "GeoJSON"
    dataset = open_dataset(tmp_path)
    assert dataset.labels.names == ("cap", "cat", "background")
    assert dataset.labels.colour(0) == (200, 0, 10)
    assert [path.name for path in dataset.paths] == sorted(IMAGES)
    assert dataset.count_things().tolist() == [2, 1, 2, 1, 0]
    sample = dataset[0]
    assert sample.label_ids.tolist() == [1, 0, 2]
    assert np.array_equal(sample.mask(1), outline(SQUARE))
    assert np.array_equal(sample.mask(2), outline(INSIDE))
    assert np.array_equal(dataset[1].mask(1), outline(INSIDE) | outline(CORNER))


def test_holes_are_holes(tmp_path):
    item = feature("cat", SQUARE)
    item["geometry"]["coordinates"].append(ring(INSIDE[::-1]))
    sample = open_dataset(write(tmp_path, item))[0]
    assert np.array_equal(sample.mask(1), outline(SQUARE) & ~outline(INSIDE))


def test_our_properties_name_and_order_the_classes(tmp_path):
    items = [
        feature("x", SQUARE, label="zebra", label_id=0),
        feature("x", INSIDE, label="ant", label_id=1),
    ]
    image = {"file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}
    dataset = open_dataset(write(tmp_path, *items, image=image))
    assert dataset.labels.names == ("zebra", "ant", "background")
    assert len(dataset[0].label_ids) == 3


def test_features_without_a_class_are_ignored(tmp_path):
    item = feature("cat", SQUARE)
    bare = feature("x", CORNER)
    bare["properties"] = None
    dataset = open_dataset(write(tmp_path, item, bare))
    assert dataset.labels.names == ("cat", "background")
    assert np.array_equal(dataset[0].ignored, outline(CORNER))


def test_points_and_lines_are_left_out_with_a_warning(tmp_path):
    point = feature("cat", SQUARE)
    point["geometry"] = {"type": "Point", "coordinates": [3, 4]}
    nothing = feature("cat", SQUARE)
    nothing["geometry"] = None
    with pytest.warns(DataWarning, match="1 Point, 1 without geometry"):
        dataset = open_dataset(write(tmp_path, feature("cat", SQUARE), point, nothing))
    assert dataset.count_things().tolist() == [1]


def test_splits_and_images_elsewhere_are_found(tmp_path):
    for split, name in (("train", "a.png"), ("val", "b.png")):
        draw(tmp_path / split / "images", name)
        path = tmp_path / split / "labels" / name.replace("png", "geojson")
        write_json(path, collection(feature("cat" if split == "train" else "dog", SQUARE)))
    for split in ("train", "val"):
        dataset = open_dataset(tmp_path, split)
        assert dataset.labels.names == ("cat", "dog", "background") and len(dataset) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"geometry": {"type": "Circle", "coordinates": []}}, "geometry 'Circle', which is not"),
        ({"geometry": {"type": "Polygon", "coordinates": [3]}}, "not a list x0, y0"),
        ({"geometry": {"type": "MultiPolygon", "coordinates": [3]}}, "not a list of rings"),
        ({"geometry": {"type": "Polygon", "coordinates": 3}}, "features.0..geometry.coordinates"),
        ({"geometry": {"coordinates": []}}, "features.0..geometry"),
        ({"geometry": {"type": "Polygon", "coordinates": [[["a", 1]] * 3]}}, "not numbers"),
        ({"geometry": {"type": "Polygon", "coordinates": [ring(SQUARE), [[1e6, 0]] * 3]}}, "far"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[1e300, 0]] * 3]}}, "cannot lie"),
        ({"properties": {"label": ["cat"]}}, "property label, which is an array"),
        ({"properties": 3}, "features.0..properties"),
    ],
)
def test_malformed_features_are_named(tmp_path, change, message):
    write(tmp_path, feature("cat", SQUARE) | change)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(tmp_path)[0]
    assert "a.geojson" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"features": [1]}', '{"features": [{}], "image": []}'])
def test_damaged_files_are_named_or_skipped(tmp_path, text):
    write(tmp_path, feature("cat", SQUARE))
    draw(tmp_path, "b.png")
    (tmp_path / "b.geojson").write_text(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            dataset = open_dataset(tmp_path)
    except DataError as error:
        assert "b.geojson" in str(error)
    else:
        assert len(dataset) in (1, 2)


def test_a_missing_image_is_named(tmp_path):
    write_json(tmp_path / "gone.geojson", collection(feature("cat", SQUARE)))
    with pytest.raises(DataError, match="gone"):
        open_dataset(tmp_path)


def test_another_size_is_refused(tmp_path):
    image = {"file_name": "a.png", "height": 10, "width": 12}
    write(tmp_path, feature("cat", [(1, 1), (8, 1), (8, 8)]), image=image)
    with pytest.raises(DataError, match=r"64 x 48 pixels, but its labels .* 12 x 10"):
        open_dataset(tmp_path)[0]


def test_names_may_be_numbers(tmp_path):
    dataset = open_dataset(write(tmp_path, feature("x", SQUARE, label=7)))
    assert dataset.labels.names[0] == "7"
    assert json.loads((tmp_path / "a.geojson").read_text())["type"] == "FeatureCollection"


def test_files_outside_of_the_splits_are_left_out_with_a_note(tmp_path):
    for split in ("train", "val", "extra"):
        draw(tmp_path / split, "a.png")
        write_json(tmp_path / split / "a.geojson", collection(feature("cat", SQUARE)))
    detected = detect_format(tmp_path)
    assert set(detected.splits) == {"train", "val"}
    assert "files outside of the splits are left out: 1, such as extra/a.geojson" in detected.notes
