"""Supervisely's projects: datasets as splits, holes, masks, and the order of objects."""

import numpy as np
import pytest
from outlines import INSIDE, SIZE, SQUARE, draw, write_json
from tool_exports import sly_annotation, sly_bitmap, sly_meta, sly_polygon, write_supervisely

from unimask.datasets import detect_format, open_dataset
from unimask.datasets.interface import DataWarning
from unimask.datasets.objects.pixel_polygons import fill_polygons
from unimask.errors import DataError

pytest.importorskip("pycocotools.mask")


def filled(polygon):
    return fill_polygons([np.array(polygon).ravel()], SIZE)


def write_objects(folder, *objects, **shapes):
    draw(folder / "pets" / "img", "a.png")
    write_json(folder / "meta.json", sly_meta(**(shapes or {"cat": "any", "cap": "any"})))
    write_json(folder / "pets" / "ann" / "a.png.json", sly_annotation(*objects))
    return folder


def test_a_project_has_the_expected_classes_objects_and_pixels(tmp_path):
    data = write_supervisely(tmp_path)
    assert detect_format(data).format == "Supervisely"
    train, val = (open_dataset(data, split) for split in ("train", "val"))
    assert train.labels == val.labels
    assert train.labels.names == ("cat", "cap", "background")
    assert train.labels.colours[:2] == ((1, 128, 255), (2, 128, 255))
    assert [path.parts[-3:] for path in val.paths[:1]] == [("val", "img", "a.png")]
    sample = train[0]
    assert sample.label_ids.tolist() == [0, 1, 2]
    assert np.array_equal(sample.mask(1), filled(SQUARE))
    assert np.array_equal(sample.mask(2), filled(INSIDE))
    assert (sample.front == 2).sum() == filled(INSIDE).sum()  # later objects are in front
    sample = train[3]
    masks = [sample.mask(number) for number in (2, 3)]
    expected = np.zeros(SIZE, bool)
    expected[5:14, 3:12] = np.eye(9)
    assert np.array_equal(masks[0], expected)
    assert np.array_equal(masks[1], filled(SQUARE) & ~filled(INSIDE))


def test_a_large_object_listed_later_is_in_front(tmp_path):
    data = write_objects(tmp_path, sly_polygon("cap", INSIDE), sly_polygon("cat", SQUARE))
    assert not (open_dataset(data)[0].front == 1).any()


def test_a_dataset_of_a_project_is_read_alone(tmp_path):
    data = write_supervisely(tmp_path)
    assert open_dataset(data / "val").labels.names == ("cat", "cap", "background")


def test_without_meta_the_classes_are_those_of_the_objects(tmp_path):
    data = write_supervisely(tmp_path)
    (data / "meta.json").unlink()
    assert open_dataset(data, "train").labels.names == ("cap", "cat", "background")


def test_rectangles_have_pixels_and_points_have_none(tmp_path):
    rectangle = {"exterior": [[10, 5], [29, 19]], "interior": []}
    point = {"exterior": [[1, 1]], "interior": []}
    data = write_objects(
        tmp_path,
        {"classTitle": "cat", "geometryType": "rectangle", "points": rectangle},
        {"classTitle": "cap", "geometryType": "point", "points": point},
        {"classTitle": "eye", "geometryType": "point", "points": point},
        sly_polygon("cap", SQUARE[:2]),
        sly_bitmap("cap", np.ones((2, 2)), (60, 40), packed=False),
        cat="rectangle", cap="any", eye="point",
    )  # fmt: skip
    with pytest.warns(DataWarning) as caught:
        dataset = open_dataset(data)
    messages = " | ".join(str(each.message) for each in caught)
    assert "without pixels are left out: 2 point" in messages
    assert r"object 4 of a.png (cap) is a polygon of 2 points: left out" in messages
    assert dataset.labels.names == ("cat", "cap", "background")
    sample = dataset[0]
    assert sample.mask(1).sum() == 300 and sample.mask(2)[40:42, 60:62].all()


def test_images_without_their_suffix_in_the_json_are_found(tmp_path):
    data = write_objects(tmp_path, sly_polygon("cat", SQUARE))
    file = data / "pets" / "ann" / "a.png.json"
    file.rename(file.with_name("a.json"))
    with pytest.warns(DataWarning, match=r"'a', which is taken to be 'a\.png'"):
        assert len(open_dataset(data)) == 1


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (7, r"objects\[0\]: expected object, got int"),
        (sly_polygon("dog", SQUARE), r"object 1 of a\.png is of the class 'dog', which meta"),
        (sly_polygon("cat", [(1, 1), (900, 1), (9, 9)]), "reaches"),
        (sly_polygon("cat", [(1, 1), (float("nan"), 1), (9, 9)]), "cannot lie in an image"),
        (sly_polygon("cat", SQUARE) | {"geometryType": "star"}, "the shape 'star', which is not"),
        ({"classTitle": "cat", "geometryType": "bitmap"}, "is a bitmap without data"),
        (sly_bitmap("cat", np.ones((99, 2))), "a mask of 2 x 99, larger than its image"),
        (sly_bitmap("cat", np.ones((2, 2)), (99, 0)), "outside of its image"),
        ({"classTitle": "cat", "bitmap": {"data": "AAAA", "origin": [1, 1]}}, "is not an image"),
        ({"classTitle": "cat", "bitmap": {"data": "A", "origin": [1, 1]}}, "not base64"),
        ({"classTitle": " ", "points": {}}, "classTitle is empty"),
    ],
)
def test_objects_that_are_none_are_named(tmp_path, shape, reason):
    with pytest.raises(DataError, match=reason):
        open_dataset(write_objects(tmp_path, shape))


def test_labels_of_another_size_are_refused(tmp_path):
    data = write_objects(tmp_path, sly_polygon("cat", SQUARE))
    draw(tmp_path / "pets" / "img", "a.png", (96, 128))
    with pytest.raises(
        DataError, match=r"a\.png has 128 x 96 pixels, but its labels in .* are for"
    ):
        open_dataset(data)[0]
