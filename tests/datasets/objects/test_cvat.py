"""CVAT for images: shapes of all kinds, and their z-order."""

import time

import numpy as np
import pytest
from outlines import IMAGES, INSIDE, SQUARE, cvat_text, draw, write_cvat

from unimask.datasets import open_dataset
from unimask.datasets.interface import DataWarning
from unimask.errors import DataError

coco = pytest.importorskip("pycocotools.mask")


def write_shapes(folder, shapes, images=None):
    draw(folder / "images", "a.png")
    (folder / "annotations.xml").write_text(cvat_text(images or {"a.png": []}, shapes))
    return folder


def test_label_colours_are_those_of_the_project(tmp_path):
    labels = open_dataset(write_cvat(tmp_path)).labels
    assert labels.names == ("cat", "cap", "background")
    assert labels.colours == ((16, 128, 255), (32, 128, 255), None)


def test_boxes_ellipses_and_masks_have_pixels_and_points_have_none(tmp_path):
    data = write_shapes(
        tmp_path,
        '<box label="cat" xtl="10" ytl="5" xbr="30" ybr="20"/>'
        '<ellipse label="cat" cx="50" cy="20" rx="10" ry="5"/>'
        '<mask label="cap" rle="1, 5" left="60" top="40" width="3" height="2"/>'
        '<box label="cap" xtl="20" ytl="30" xbr="40" ybr="32" rotation="90"/>'
        '<points label="cat" points="1,1"/>',
    )
    with pytest.warns(DataWarning, match="1 points, lines, cuboids and skeletons"):
        sample = open_dataset(data)[0]
    assert sample.mask(1).sum() == 300
    assert sample.mask(2).sum() == pytest.approx(np.pi * 50, rel=0.05)
    assert sample.mask(3)[40:42, 60:63].tolist() == [[False, True, True], [True] * 3]
    assert sample.mask(4)[21:41, 29:31].all() and sample.mask(4).sum() == 40


@pytest.mark.parametrize(("orders", "front"), [((0, 1), 2), ((1, 0), 1), ((0, 0), 2)])
def test_the_nearer_object_is_in_front_and_else_the_smaller(tmp_path, orders, front):
    shapes = "".join(
        f'<polygon label="cat" z_order="{order}" '
        f'points="{";".join(f"{x},{y}" for x, y in polygon)}"/>'
        for order, polygon in zip(orders, (SQUARE, INSIDE), strict=True)
    )
    sample = open_dataset(write_shapes(tmp_path, shapes))[0]
    assert sample.front[18, 22] == front and sample.mask(1)[18, 22] and sample.mask(2)[18, 22]


def test_subsets_of_a_project_are_splits(tmp_path):
    text = cvat_text()
    for name in IMAGES:
        subset = "Validation" if name == "a.png" else "Train"
        draw(tmp_path / "images" / subset, name)
        text = text.replace(f'name="{name}"', f'name="{name}" subset="{subset}"')
    (tmp_path / "annotations.xml").write_text(text)
    assert len(open_dataset(tmp_path, "train")) == 4
    assert [path.name for path in open_dataset(tmp_path, "val").paths] == ["a.png"]


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ('<polygon label="dog" points="1,1;2,2;3,1"/>', "shape 1 of a.png has the label 'dog'"),
        ('<polygon label="cat" points="1,1;2,2"/>', "shape 1 of a.png has 2 points"),
        ('<polygon label="cat" points="1,x;2,2;3,3"/>', "shape 1 of a.png is not a polygon"),
        ('<polygon label="cat" points="1,1;99,1;9,9"/>', "shape 1 of a.png reaches"),
        ('<box label="cat" xtl="1"/>', "shape 1 of a.png is not a box"),
        (
            '<mask label="cat" rle="1,5" left="0" top="0" width="3" height="3"/>',
            "do not add up to 3 x 3",
        ),
        (
            '<mask label="cat" rle="1" left="0" top="0" width="99999999" height="99999999"/>',
            "no part of its image",
        ),
        ('<mask label="cat" rle="0,4" left="70" top="0" width="2" height="2"/>', "outside of its"),
        ("<polygon", "cannot be read as XML"),
    ],
)
def test_invalid_shapes_are_named(tmp_path, shapes, reason):
    with pytest.raises(DataError, match=reason) as caught:
        open_dataset(write_shapes(tmp_path, shapes))
    assert "annotations.xml" in str(caught.value)


def test_videos_are_reported(tmp_path):
    (tmp_path / "annotations.xml").write_text('<annotations><track id="0"/></annotations>')
    with pytest.raises(DataError, match="is CVAT for video: export the task as"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        (f'<mask label="cat" rle="{2**63 - 1}, {2**63 - 1}, 8" left="0" top="0" width="3" '
         'height="2"/>', "run lengths that do not add up to 3 x 2"),
        ('<mask label="cat" rle="-5, 11" left="0" top="0" width="3" height="2"/>', "not add up"),
        (f'<mask label="cat" rle="{"9" * 5000}" left="0" top="0" width="3" height="2"/>',
         "is not a mask: rle='9999"),
        ('<mask label="cat" rle="6" left="0" top="1e400" width="3" height="2"/>',
         "mask, shape 1 of image 1: top is inf: expected a place in an image"),
        ('<mask label="cat" rle="6" left="0" top="0" width="3"/>', "not a mask: it lacks height"),
        ('<box label="cat" xtl="1" ytl="x" xbr="2" ybr="3"/>', "ytl is 'x': expected a number"),
        ('<box label="cat" xtl="1" ytl="nan" xbr="2" ybr="3"/>', "is not a box: it lacks ytl"),
        ('<ellipse label="cat" cx="1" cy="1" rx="1e300" ry="3"/>', "rx is 1e\\+300: expected a"),
        ('<polygon points="1,1;2,2;3,1"/>', "polygon, shape 1 of image 1: lacks the field label"),
        ('<polygon label="cat" points="1e300,1;2,2;3,1"/>', "coordinates that cannot lie"),
        ('<polygon label="cat" outside="maybe" points="1,1;2,2;3,1"/>', "outside is 'maybe'"),
        ("<a>" * 100, "is nested too deeply"),
    ],
)  # fmt: skip
def test_invalid_attributes_are_one_line_errors(tmp_path, shapes, reason):
    with pytest.raises(DataError, match=reason) as caught:
        open_dataset(write_shapes(tmp_path, shapes))
    assert "annotations.xml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<?xml version="1.0" encoding="a"?><annotations></annotations>', "cannot be read as XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "has a document type"),
        ("<annotations>" + "<image " * 10**5, "cannot be read as XML"),
        ("<annotations></annotations>", "lists no images"),
    ],
)
def test_bombs_and_unknown_encodings_are_one_line_errors(tmp_path, text, reason):
    (tmp_path / "annotations.xml").write_text(text)
    start = time.perf_counter()
    with pytest.raises(DataError, match=reason):
        open_dataset(tmp_path)
    assert time.perf_counter() - start < 5


def test_a_file_in_utf_16_is_read(tmp_path):
    draw(tmp_path / "images", "a.png")
    text = cvat_text({"a.png": [("cat", [SQUARE])]}).replace("utf-8", "utf-16")
    (tmp_path / "annotations.xml").write_bytes(text.encode("utf-16"))
    assert open_dataset(tmp_path)[0].label_ids.tolist() == [0, 2]


def test_shapes_outside_and_without_pixels_are_left_out(tmp_path):
    box = '<box label="cat" xtl="10" ytl="5" xbr="30" ybr="20"{}/>'
    skeleton = '<skeleton label="cat"><points label="eye" points="1,1"/></skeleton>'
    cuboid = '<cuboid label="cat" xtl1="1" ytl1="2"/>'
    shapes = box.format(' outside="1"') + skeleton + cuboid + box.format(' z_order="nan"')
    with pytest.warns(DataWarning, match="2 points, lines, cuboids and skeletons"):
        sample = open_dataset(write_shapes(tmp_path, shapes))[0]
    assert sample.label_ids.tolist() == [0, 2] and sample.mask(1).sum() == 300


def test_labels_called_ignore_are_neither_object_nor_background(tmp_path):
    data = write_shapes(tmp_path, '<box label="ignore" xtl="10" ytl="5" xbr="30" ybr="20"/>')
    file = data / "annotations.xml"
    file.write_text(file.read_text().replace("<name>cap</name>", "<name>ignore</name>"))
    dataset = open_dataset(data)
    assert dataset.labels.names == ("cat", "background")
    assert dataset.labels.colours == ((16, 128, 255), None)
    assert dataset[0].ignored.sum() == 300 and dataset.count_things().tolist() == [0]


def test_images_without_size_or_listed_twice_are_named(tmp_path):
    data = write_shapes(tmp_path, "")
    text = (data / "annotations.xml").read_text()
    for change, message in (
        (('width="64"', ""), "image 1: lacks the field width"),
        (('width="64"', 'width="-64"'), "image 1: width is '-64': expected a whole number"),
        (('width="64"', 'width="1e30"'), "image 1: width is '1e30': expected a whole number"),
        (("</annotations>", text[text.index("<image") :]), "lists a.png 2 times"),
    ):
        (data / "annotations.xml").write_text(text.replace(*change))
        with pytest.raises(DataError) as caught:
            open_dataset(data)
        assert message in str(caught.value)


def test_masks_for_an_image_of_another_size_are_refused(tmp_path):
    data = write_shapes(
        tmp_path, '<mask label="cat" rle="6" left="0" top="0" width="3" height="2"/>'
    )
    file = data / "annotations.xml"
    file.write_text(file.read_text().replace('width="64"', 'width="9000"'))
    with pytest.raises(DataError, match=r"a\.png has 64 x 48 pixels, .*xml are for 9000 x 48"):
        open_dataset(data)
