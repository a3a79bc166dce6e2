"""VIA's projects, its annotations as JSON and as CSV, and the attribute that holds the class."""

import numpy as np
import pytest
from outlines import CORNER, IMAGES, INSIDE, SQUARE, draw, outline, write_json
from tool_exports import via_annotations as annotations
from tool_exports import via_entry as entry
from tool_exports import via_polygon as polygon
from tool_exports import via_project as project
from tool_exports import via_region as region
from tool_exports import write_via, write_via_csv

from unimask.datasets import describe, detect_format, open_dataset
from unimask.datasets.interface import DataWarning
from unimask.errors import DataError, SettingsError

pytest.importorskip("pycocotools.mask")


def write_regions(folder, *regions, version=2):
    draw(folder, "a.png")
    listed = list(regions) if version == 2 else {str(n): r for n, r in enumerate(regions)}
    write_json(folder / "via_region_data.json", {"a.png1234": entry("a.png", listed)})
    return folder


def test_a_project_has_the_expected_classes_objects_and_pixels(tmp_path):
    data = write_via(tmp_path)
    assert detect_format(data).format == "VIA"
    dataset = open_dataset(data)
    assert dataset.labels.names == ("cap", "cat", "background")
    assert [path.name for path in dataset.paths] == sorted(IMAGES)
    assert dataset.count_things().tolist() == [2, 2, 2, 1, 0]
    sample = dataset[0]
    assert sample.label_ids.tolist() == [1, 0, 2]
    assert np.array_equal(sample.mask(1), outline(SQUARE))
    assert np.array_equal(sample.mask(2), outline(INSIDE))
    assert "the attribute kind holds the classes" in describe(dataset)


def test_annotations_of_via_1_number_their_regions(tmp_path):
    data = write_regions(tmp_path, region(polygon(SQUARE), kind="cat"), version=1)
    assert np.array_equal(open_dataset(data)[0].mask(1), outline(SQUARE))


def test_csv_equals_json(tmp_path):
    write_via_csv(tmp_path)
    dataset = open_dataset(tmp_path)
    assert detect_format(tmp_path).format == "VIA" and len(dataset) == len(IMAGES)
    write_via(tmp_path / "json")
    expected = open_dataset(tmp_path / "json")
    assert dataset.labels == expected.labels
    for number in range(len(IMAGES)):
        assert np.array_equal(dataset[number].id_maps, expected[number].id_maps)


def test_splits_have_the_classes_of_all(tmp_path):
    """The layout of the balloon dataset: a JSON among the images of each split."""
    for split, images in (("train", IMAGES), ("val", {"d.png": IMAGES["d.png"]})):
        for name in images:
            draw(tmp_path / split, name)
        write_json(tmp_path / split / "via_region_data.json", annotations(images))
    train, val = (open_dataset(tmp_path, split) for split in ("train", "val"))
    assert train.labels == val.labels and (len(train), len(val)) == (5, 1)


def test_regions_without_attributes_are_one_class(tmp_path):
    data = write_regions(tmp_path, region(polygon(SQUARE)))
    assert open_dataset(data).labels.names == ("object", "background")
    assert "no attribute names classes" in describe(open_dataset(data))
    assert open_dataset(data, names=("balloon",)).labels.names == ("balloon", "background")
    with pytest.raises(SettingsError, match=r"--names has 2 names, but .* has one class"):
        open_dataset(data, names=("balloon", "string"))


def test_rectangles_circles_and_ellipses_have_pixels_and_points_have_none(tmp_path):
    data = write_regions(
        tmp_path,
        region({"name": "rect", "x": 10, "y": 5, "width": 20, "height": 15}, kind="cat"),
        region({"name": "circle", "cx": 45, "cy": 25, "r": 10}, kind="cat"),
        region(
            {"name": "ellipse", "cx": 45, "cy": 25, "rx": 5, "ry": 15, "theta": np.pi / 2},
            kind="cap",
        ),
        region({"name": "point", "cx": 1, "cy": 1}, kind="cap"),
        region({"name": "polyline", "all_points_x": [1, 2], "all_points_y": [1, 2]}, kind="cap"),
        region(polygon(SQUARE[:2]), kind="cap"),
    )
    with pytest.warns(DataWarning) as caught:
        dataset = open_dataset(data)
    messages = " | ".join(str(each.message) for each in caught)
    assert "without pixels are left out: 1 point, 1 polyline" in messages
    assert "region 6 of a.png is a polygon of 2 points: left out" in messages
    sample = dataset[0]
    areas = [int(sample.mask(number).sum()) for number in (1, 2, 3)]
    assert areas == [300, pytest.approx(np.pi * 100, rel=0.02), pytest.approx(np.pi * 75, rel=0.02)]
    assert np.ptp(sample.mask(3).any(axis=0).nonzero()[0]) == 29  # lies on its side


def write_attributes(folder, *values, **defined):
    """Write regions with the given attributes into a project that defines some of them."""
    draw(folder, "a.png")
    regions = [region(polygon(SQUARE), **attributes) for attributes in values]
    write_json(folder / "via.json", project({"a.png1": entry("a.png", regions)}, **defined))
    return folder


@pytest.mark.parametrize(
    ("values", "defined", "expected"),
    [
        ([{"species": "cat"}], {}, ("cat",)),
        ([{"class": "cat", "note": "blurred"}, {"class": "cap", "note": "x"}], {}, ("cap", "cat")),
        (
            [{"pet": "cat", "note": "blurred"}],
            {"pet": ("dropdown", {"cat": "", "dog": ""})},
            ("cat", "dog"),
        ),
        (
            [{"pet": {"cat": True, "dog": False}}],
            {"pet": ("checkbox", {"cat": "", "dog": ""})},
            ("cat", "dog"),
        ),
        ([{"id": str(n), "kind": "cat"} for n in range(20)], {}, ("cat",)),
        ([{"pet": "cat"}, {"pet": ""}, {}], {}, ("cat",)),
    ],
)
def test_the_attribute_of_the_class_is_chosen_by_evidence(tmp_path, values, defined, expected):
    dataset = open_dataset(write_attributes(tmp_path, *values, **defined))
    assert dataset.labels.names == (*expected, "background")


def test_regions_without_a_class_are_ignored(tmp_path):
    dataset = open_dataset(write_attributes(tmp_path, {"pet": "cat"}, {}))
    assert "1 objects of unlabeled are neither object nor background" in describe(dataset)


def test_several_attributes_are_named_and_one_can_be_chosen(tmp_path):
    data = write_attributes(tmp_path, {"colour": "red", "size": "big"}, {"colour": "blue"})
    with pytest.raises(DataError, match=r"attributes colour, size.*--format via:colour"):
        open_dataset(data)
    assert open_dataset(data, format="via:colour").labels.names == ("blue", "red", "background")
    with pytest.raises(SettingsError, match="no attribute 'pet': its regions have colour, size"):
        open_dataset(data, format="via:pet")
    with pytest.raises(SettingsError, match="'coco:pet' names the attribute 'pet', but COCO"):
        open_dataset(data, format="coco:pet")


@pytest.mark.parametrize(
    ("regions", "reason"),
    [
        ([7], r"a\.png1234'\.regions\[0\]: expected object, got int"),
        ([{"region_attributes": {}}], "lacks the field shape_attributes"),
        (
            [region({"name": "rect", "x": 1, "y": 1, "width": 5})],
            "1 of a.png is not a rect: it lacks height",
        ),
        ([region({"name": "star"})], "has the shape 'star', which is not known"),
        (
            [region({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]})],
            "has 3 x and 2 y",
        ),
        (
            [region({"name": "circle", "cx": 1e300, "cy": 1, "r": 1})],
            "cx is 1e\\+300: expected a place",
        ),
        ([region(polygon([(1, 2), (3, 4), (5, float("nan"))]))], "cannot lie in an image"),
        ([region(polygon(SQUARE), kind=["cat"])], "is no value of an attribute"),
    ],
)
def test_regions_that_are_none_are_named(tmp_path, regions, reason):
    with pytest.raises(DataError, match=reason):
        open_dataset(write_regions(tmp_path, *regions))


def test_polygons_outside_of_their_image_are_named_when_it_is_read(tmp_path):
    data = write_regions(tmp_path, region(polygon([(1, 2), (300, 4), (5, 5)]), kind="cat"))
    with pytest.raises(DataError, match=r"region 1 of a\.png reaches \(300, 4\)"):
        open_dataset(data)[0]


def test_an_image_in_two_files_is_refused(tmp_path):
    data = write_via(tmp_path)
    write_json(tmp_path / "via_region_data.json", annotations({"a.png": [("cat", [CORNER])]}))
    with pytest.raises(DataError, match=r"both label a\.png"):
        open_dataset(data)


def test_missing_images_are_named(tmp_path):
    data = write_via(tmp_path)
    (tmp_path / "c.png").unlink()
    with pytest.raises(DataError, match=r"via_project\.json names .*c\.png"):
        open_dataset(data)
