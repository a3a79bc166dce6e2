"""Darwin JSON of V7: paths that are holes or further parts, raster layers, and boxes."""

import numpy as np
import pytest
from outlines import CORNER, INSIDE, SIZE, SQUARE, draw, write_json
from tool_exports import darwin_content, darwin_polygon, darwin_raster, write_darwin

from unimask.datasets import detect_format, open_dataset
from unimask.datasets.interface import DataWarning
from unimask.datasets.objects.pixel_polygons import fill_polygons
from unimask.errors import DataError

pytest.importorskip("pycocotools.mask")


def filled(*polygons):
    """Fill polygons together; points on the edge of the image are its last pixels."""
    return fill_polygons([np.array(polygon).ravel() for polygon in polygons], SIZE)


def write_annotations(folder, *annotations, **changes):
    draw(folder, "a.png")
    write_json(folder / "a.json", darwin_content("a.png", list(annotations)) | changes)
    return folder


def test_items_have_the_expected_classes_objects_and_pixels(tmp_path):
    data = write_darwin(tmp_path)
    assert detect_format(data).format == "Darwin"
    dataset = open_dataset(data)
    assert dataset.labels.names == ("cap", "cat", "background")
    assert [path.name for path in dataset.paths] == [
        "a.png",
        "b.png",
        "c.png",
        "d.png",
        "empty.png",
    ]
    sample = dataset[0]
    assert sample.label_ids.tolist() == [1, 0, 2]
    assert np.array_equal(sample.mask(1), filled(SQUARE))
    assert np.array_equal(dataset[1].mask(1), filled(INSIDE, CORNER))
    expected = np.zeros(SIZE, bool)
    expected[30:40, 40:60] = True
    assert np.array_equal(dataset[3].mask(2), expected)


def test_a_path_inside_of_another_is_a_hole(tmp_path):
    mask = open_dataset(write_annotations(tmp_path, darwin_polygon("cat", SQUARE, INSIDE)))[0].mask(
        1
    )
    assert np.array_equal(mask, filled(SQUARE, INSIDE)) and mask.sum() < filled(SQUARE).sum()


def test_masks_of_a_raster_layer_are_objects(tmp_path):
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 3, SIZE)
    data = write_annotations(tmp_path, *darwin_raster(cat=numbers == 1, cap=numbers == 2))
    sample = open_dataset(data)[0]
    assert sample.label_ids.tolist() == [1, 0, 2]
    assert np.array_equal(sample.mask(1), numbers == 1)
    assert np.array_equal(sample.mask(2), numbers == 2)


def test_ellipses_have_pixels_boxes_are_ignored_and_points_have_none(tmp_path):
    ellipse = {"center": {"x": 32, "y": 24}, "radius": {"x": 20, "y": 5}, "angle": np.pi / 2}
    data = write_annotations(
        tmp_path,
        {"name": "cat", "ellipse": ellipse, "bounding_box": {"x": 1, "y": 1, "w": 1, "h": 1}},
        {"name": "cap", "bounding_box": {"x": 1, "y": 1, "w": 5, "h": 5}},
        {"name": "cap", "keypoint": {"x": 1, "y": 1}},
        {"name": "blurred", "tag": {}},
        darwin_polygon("cap", SQUARE[:2]) | {"bounding_box": None},
    )
    with pytest.warns(DataWarning) as caught:
        dataset = open_dataset(data)
    messages = " | ".join(str(each.message) for each in caught)
    assert "1 objects are boxes without an outline" in messages
    assert "left out: 1 keypoint, 1 tag" in messages
    assert "annotation 5 of a.png (cap) encloses nothing" in messages
    sample = dataset[0]
    rows, columns = (np.ptp(sample.mask(1).any(axis=axis).nonzero()[0]) for axis in (1, 0))
    assert rows == 40 and columns == 10
    assert sample.crowds.tolist()[:2] == [False, True]


def test_boxes_alone_are_refused(tmp_path):
    box = {"name": "cap", "bounding_box": {"x": 1, "y": 1, "w": 5, "h": 5}}
    with pytest.raises(DataError, match="has boxes only"):
        open_dataset(write_annotations(tmp_path, box))


def test_folders_may_be_splits_with_the_classes_of_all(tmp_path):
    write_annotations(tmp_path / "train", darwin_polygon("cat", SQUARE))
    write_annotations(tmp_path / "val", darwin_polygon("cap", SQUARE))
    names = [open_dataset(tmp_path, split).labels.names for split in ("train", "val")]
    assert names == [("cap", "cat", "background")] * 2


def slots(*kinds):
    return {"item": {"name": "a.png", "path": "/", "slots": [{"type": kind} for kind in kinds]}}


@pytest.mark.parametrize(
    ("annotations", "changes", "reason"),
    [
        ([7], {}, r"annotations\[0\]: expected object"),
        ([], slots("video"), "is of a video: export it as single images"),
        ([], slots("image", "image"), "is of an item of 2 slots"),
        ([{"name": "cat", "frames": {}}], {}, "frames: is of a video"),
        ([{"name": "cat", "polygon": {"path": []}}], {}, "lacks the field paths"),
        ([darwin_polygon("cat", [(1, 1), (900, 1), (9, 9)])], {}, "reaches"),
        ([darwin_polygon("cat", [(1, None), (9, 1), (9, 9)])], {}, "cannot lie in an image"),
        (darwin_raster(cat=np.ones(SIZE, bool)), slots("image"), "but no width and height"),
        (
            [
                {
                    "name": "x",
                    "raster_layer": {"dense_rle": [1, 5], "mask_annotation_ids_mapping": {}},
                }
            ],
            {},
            "does not fill 64 x 48 pixels",
        ),
    ],
)
def test_annotations_that_are_none_are_named(tmp_path, annotations, changes, reason):
    with pytest.raises(DataError, match=reason):
        open_dataset(write_annotations(tmp_path, *annotations, **changes))
