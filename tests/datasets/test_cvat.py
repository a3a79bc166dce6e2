"""CVAT for images: shapes of all kinds, and who is in front."""

import numpy as np
import pytest
from outlines import INSIDE, PICTURES, SQUARE, cvat_text, draw, write_cvat

from unimask.datasets import open_dataset
from unimask.datasets.found import DataWarning
from unimask.errors import DataError

coco = pytest.importorskip("pycocotools.mask")


def one(folder, shapes, pictures=None):
    draw(folder / "images", "a.png")
    (folder / "annotations.xml").write_text(cvat_text(pictures or {"a.png": []}, shapes))
    return folder


def test_labels_keep_the_colours_of_the_project(tmp_path):
    labels = open_dataset(write_cvat(tmp_path)).labels
    assert labels.names == ("cat", "cap", "background")
    assert labels.colours == ((16, 128, 255), (32, 128, 255), None)


def test_boxes_ellipses_and_masks_have_pixels_and_points_have_none(tmp_path):
    data = one(
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
    sample = open_dataset(one(tmp_path, shapes))[0]
    assert sample.front[18, 22] == front and sample.mask(1)[18, 22] and sample.mask(2)[18, 22]


def test_subsets_of_a_project_are_splits(tmp_path):
    text = cvat_text()
    for name in PICTURES:
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
        ('<polygon label="cat" points="1,x;2,2;3,3"/>', "shape 1 of a.png is no polygon"),
        ('<polygon label="cat" points="1,1;99,1;9,9"/>', "shape 1 of a.png reaches"),
        ('<box label="cat" xtl="1"/>', "shape 1 of a.png is no box"),
        (
            '<mask label="cat" rle="1,5" left="0" top="0" width="3" height="3"/>',
            "do not add up to 3 x 3",
        ),
        (
            '<mask label="cat" rle="1" left="0" top="0" width="99999999" height="99999999"/>',
            "no part of its picture",
        ),
        ('<mask label="cat" rle="0,4" left="70" top="0" width="2" height="2"/>', "outside of its"),
        ("<polygon", "cannot be read as XML"),
    ],
)
def test_shapes_that_are_none_are_named(tmp_path, shapes, reason):
    with pytest.raises(DataError, match=reason) as caught:
        open_dataset(one(tmp_path, shapes))
    assert "annotations.xml" in str(caught.value)


def test_videos_are_told(tmp_path):
    (tmp_path / "annotations.xml").write_text('<annotations><track id="0"/></annotations>')
    with pytest.raises(DataError, match="is CVAT for video: export the task as"):
        open_dataset(tmp_path)
