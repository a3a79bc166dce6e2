"""Datumaro's own format: groups of annotations, boxes, orders and subsets."""

import numpy as np
import pytest
from outlines import CORNER, INSIDE, SQUARE, draw, flatten, outline, write_json
from tool_exports import datumaro_annotation, datumaro_content, run_lengths, write_datumaro

from unimask.datasets import detect_format, open_dataset
from unimask.datasets.interface import DataWarning
from unimask.errors import DataError

pytest.importorskip("pycocotools.mask")


def polygon(label_id, points, **fields):
    return datumaro_annotation("polygon", label_id, points=flatten(points), **fields)


def write_annotations(folder, *annotations, **changes):
    draw(folder / "images", "a.png")
    content = datumaro_content({"a.png": list(annotations)}) | changes
    write_json(folder / "annotations" / "default.json", content)
    return folder


def test_subsets_have_the_expected_classes_objects_and_pixels(tmp_path):
    data = write_datumaro(tmp_path)
    with pytest.warns(DataWarning, match="1 objects are boxes without an outline"):
        train = open_dataset(data, "train")
        assert detect_format(data).format == "Datumaro"
    assert train.labels.names == ("cat", "cap", "background")
    assert train.labels.colours[:2] == ((0, 128, 255), (1, 128, 255))
    assert train.count_things().tolist() == [2, 1, 2, 2, 0]
    sample = train[0]
    assert np.array_equal(sample.mask(1), outline(SQUARE))
    assert np.array_equal(train[1].mask(1), outline(INSIDE) | outline(CORNER))
    sample = train[3]
    assert sample.label_ids.tolist() == [1, 0, 1, 2] and sample.crowds.tolist()[2]
    assert np.array_equal(sample.mask(2), outline(SQUARE))


def test_a_group_is_one_object_and_its_box_is_not_needed(tmp_path):
    data = write_annotations(
        tmp_path,
        polygon(0, INSIDE, group=3),
        datumaro_annotation("mask", 0, 3, rle=run_lengths([CORNER])),
        datumaro_annotation("bbox", 0, 3, bbox=[0, 0, 60, 40]),
        polygon(1, SQUARE, group=3),
    )
    sample = open_dataset(data)[0]
    assert sample.label_ids.tolist() == [0, 1, 2]
    assert np.array_equal(sample.mask(1), outline(INSIDE) | outline(CORNER))


def test_the_greater_order_is_in_front(tmp_path):
    data = write_annotations(tmp_path, polygon(0, SQUARE, z_order=2), polygon(1, INSIDE, z_order=1))
    assert not (open_dataset(data)[0].front == 2).any()


def test_ellipses_have_pixels_and_lines_have_none(tmp_path):
    data = write_annotations(
        tmp_path,
        datumaro_annotation("ellipse", 0, points=[10, 5, 30, 15]),
        datumaro_annotation("polyline", 0, points=[1, 1, 5, 5]),
        polygon(1, SQUARE[:2]),
        datumaro_annotation("polygon", None, points=flatten(CORNER)),
    )
    with pytest.warns(DataWarning) as caught:
        dataset = open_dataset(data)
    messages = " | ".join(str(each.message) for each in caught)
    assert "left out: 1 polyline" in messages and "annotation 3 of a.png encloses" in messages
    sample = dataset[0]
    assert sample.mask(1).sum() == pytest.approx(np.pi * 50, rel=0.05)
    assert sample.ignored is not None and sample.ignored.sum() == outline(CORNER).sum()


def test_boxes_alone_are_refused(tmp_path):
    data = write_annotations(tmp_path, datumaro_annotation("bbox", 0, bbox=[1, 1, 5, 5]))
    with pytest.raises(DataError, match="has boxes only"):
        open_dataset(data)


def test_paths_of_another_machine_are_found(tmp_path):
    data = write_annotations(tmp_path, polygon(0, SQUARE))
    content = datumaro_content({"a.png": [polygon(0, SQUARE)]})
    content["items"][0]["image"]["path"] = "/home/me/out/images/default/a.png"
    write_json(data / "annotations" / "default.json", content)
    assert open_dataset(data).paths == [data / "images" / "a.png"]


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (7, r"items\[0\]\.annotations\[0\]: expected object"),
        (polygon(5, SQUARE), "an annotation of a.png has label_id 5, but there are 2 classes"),
        (polygon("cat", SQUARE), r"annotations\[0\]: label_id is 'cat': expected a number"),
        (datumaro_annotation("star", 0), "annotation 1 of a.png is of the type 'star'"),
        (datumaro_annotation("polygon", 0, points=[1, 2, 3]), "not a list x0, y0"),
        (datumaro_annotation("mask", 0, rle={"size": [48, 64], "counts": "1"}), "no mask that can"),
        (datumaro_annotation("mask", 0, rle={"size": [9, 9], "counts": [81]}), "of 9 x 9 pixels"),
        (polygon(0, [(1, 1), (900, 1), (9, 9)]), "reaches"),
    ],
)
def test_annotations_that_are_none_are_named(tmp_path, annotation, reason):
    with pytest.raises(DataError, match=reason):
        open_dataset(write_annotations(tmp_path, annotation))
