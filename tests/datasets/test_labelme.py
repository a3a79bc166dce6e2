"""LabelMe's shapes."""

import base64
import io

import numpy as np
import pytest
from outlines import INSIDE, SQUARE, draw, labelme_content, write_json, write_labelme
from PIL import Image

from unimask.datasets import open_dataset
from unimask.datasets.found import DataWarning
from unimask.errors import DataError

coco = pytest.importorskip("pycocotools.mask")


def shape(kind, points, label="cat", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None} | more


def one(folder, *shapes, **changes):
    draw(folder, "a.png")
    content = labelme_content("a.png", []) | {"shapes": list(shapes)} | changes
    write_json(folder / "a.json", content)
    return folder


def test_all_splits_have_the_classes_of_all(tmp_path):
    data = write_labelme(tmp_path)
    for file in (tmp_path / "val").glob("*.json"):
        write_json(file, labelme_content(f"{file.stem}.png", [("dog", [SQUARE])]))
    for split in ("train", "val"):
        assert open_dataset(data, split).labels.names == ("cap", "cat", "dog", "background")
    assert open_dataset(data, "val")[0].label_ids.tolist() == [2, 3]


def test_parts_of_a_group_are_one_object(tmp_path):
    data = one(
        tmp_path,
        shape("polygon", INSIDE, group_id=1),
        shape("polygon", INSIDE, "cap", group_id=1),
        shape("rectangle", [[50, 30], [60, 40]], group_id=1),
    )
    sample = open_dataset(data)[0]
    assert sample.label_ids.tolist() == [1, 0, 2]
    assert sample.mask(1)[30:40, 50:60].all() and sample.mask(1).sum() > 100


def test_rectangles_circles_and_masks_have_pixels_and_points_have_none(tmp_path):
    drawn = io.BytesIO()
    Image.fromarray(np.array([[0, 255], [255, 255]], np.uint8)).save(drawn, "PNG")
    mask = base64.b64encode(drawn.getvalue()).decode()
    data = one(
        tmp_path,
        shape("rectangle", [[30, 20], [10, 5]]),
        shape("circle", [[45, 25], [45, 35]]),
        shape("mask", [[62, 46], [63, 47]], mask=mask),
        shape("point", [[1, 1]]),
        shape("linestrip", [[1, 1], [5, 5]]),
    )
    with pytest.warns(DataWarning, match="2 points and lines have no pixels"):
        sample = open_dataset(data)[0]
    areas = [int(sample.mask(number).sum()) for number in (1, 2, 3)]
    assert areas == [300, pytest.approx(np.pi * 100, rel=0.02), 3]
    assert sample.mask(3)[46:, 62:].tolist() == [[False, True], [True, True]]


def test_a_renamed_picture_is_found_beside_its_labels(tmp_path):
    data = one(tmp_path, shape("polygon", SQUARE), imagePath="..\\photos\\old.jpg")
    assert open_dataset(data)[0].path == tmp_path / "a.png"
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"a\.json names the picture .*old\.jpg.*put it beside it"):
        open_dataset(data)


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ([shape("polygon", INSIDE[:2])], r"a\.json: shape 1 \(cat\) is a polygon of 2 points"),
        ([shape("polygon", [[1, 2], [3]])], "shape 1 .* no pairs of x and y"),
        ([shape("polygon", [[1, 2], [3, float("nan")], [4, 4]])], "are no numbers"),
        ([shape("circle", [[1, 2]])], "is a circle of fewer than two points"),
        ([shape("mask", [[1, 2], [3, 4]], mask="AAAA")], "a mask that is no picture"),
        ([shape("polygon", [[1, 2], [90, 4], [5, 5]])], "shape 1 reaches"),
        ([{"label": "cat"}], "is not what LabelMe writes"),
        ([7], "is not what LabelMe writes"),
    ],
)
def test_shapes_that_are_none_are_named(tmp_path, shapes, reason):
    with pytest.raises(DataError, match=reason):
        open_dataset(one(tmp_path, *shapes))


def test_labels_of_another_size_are_told(tmp_path):
    with pytest.raises(DataError, match=r"a\.png has 64 x 48 pixels, but .* for 128 x 96"):
        open_dataset(one(tmp_path, imageHeight=96, imageWidth=128))[0]
