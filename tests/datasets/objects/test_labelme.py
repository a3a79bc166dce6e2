"""LabelMe's shapes."""

import base64
import io
import json

import numpy as np
import pytest
from outlines import INSIDE, SIZE, SQUARE, draw, labelme_content, write_json, write_labelme
from PIL import Image

from unimask.datasets import describe, open_dataset
from unimask.datasets.interface import DataWarning, open_image
from unimask.errors import DataError, ImageError

coco = pytest.importorskip("pycocotools.mask")


def shape(kind, points, label="cat", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None} | more


def encode_png(mask):
    """Encode a mask like LabelMe."""
    stream = io.BytesIO()
    Image.fromarray(np.uint8(mask) * 255).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def object_areas(sample):
    """Count the pixels of each object."""
    return [int(sample.mask(number + 1).sum()) for number in range(len(sample.label_ids))]


def write_shapes(folder, *shapes, **changes):
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
    data = write_shapes(
        tmp_path,
        shape("polygon", INSIDE, group_id=1),
        shape("polygon", INSIDE, "cap", group_id=1),
        shape("rectangle", [[50, 30], [60, 40]], group_id=1),
    )
    sample = open_dataset(data)[0]
    assert sample.label_ids.tolist() == [1, 0, 2]
    assert sample.mask(1)[30:40, 50:60].all() and sample.mask(1).sum() > 100


def test_rectangles_circles_and_masks_have_pixels_and_points_have_none(tmp_path):
    mask = encode_png([[0, 1], [1, 1]])
    data = write_shapes(
        tmp_path,
        shape("rectangle", [[30, 20], [10, 5]]),
        shape("circle", [[45, 25], [45, 35]]),
        shape("mask", [[62, 46], [63, 47]], mask=mask),
        shape("point", [[1, 1]]),
        shape("linestrip", [[1, 1], [5, 5]]),
    )
    with pytest.warns(DataWarning, match="2 points and lines have no pixels"):
        sample = open_dataset(data)[0]
    assert object_areas(sample)[:3] == [300, pytest.approx(np.pi * 100, rel=0.02), 3]
    assert sample.mask(3)[46:, 62:].tolist() == [[False, True], [True, True]]


def test_renamed_images_are_found_beside_their_labels(tmp_path):
    data = write_shapes(tmp_path, shape("polygon", SQUARE), imagePath="..\\photos\\old.jpg")
    assert open_dataset(data)[0].path == tmp_path / "a.png"
    (tmp_path / "a.png").unlink()
    with pytest.raises(
        DataError, match=r"a\.json names the image .*old\.jpg.*put it beside the file"
    ):
        open_dataset(data)


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        (
            [shape("polygon", [[1, 2], [3]])],
            r"shapes\[0\]\.points\[1\]: expected array of length 2",
        ),
        ([shape("polygon", [[1, 2], [3, float("nan")], [4, 4]])], "are not numbers"),
        ([shape("mask", [[1, 2], [3, 4]], mask="AAAA")], "a mask that is not an image"),
        ([shape("polygon", [[1, 2], [90, 4], [5, 5]])], "shape 1 reaches"),
        ([{"label": "cat"}], r"is not what LabelMe writes: shapes\[0\]: lacks the field points"),
        ([7], r"shapes\[0\]: expected object, got int"),
        ([shape("rectangle", INSIDE)], "is a rectangle of 3 points, two make one"),
        ([shape("circle", INSIDE)], "is a circle of 3 points, two make one"),
        ([shape("ellipse", INSIDE)], "has the shape_type 'ellipse', which is not known: make it"),
        ([shape(["polygon"], INSIDE)], r"shapes\[0\]\.shape_type: expected str \| null, got array"),
        ([shape("polygon", [[10**400, 1], [2, 2], [3, 1]])], r"points\[0\]\[0\]: number out of"),
        ([shape("polygon", [[1e300, 1], [2, 2], [3, 1]])], "coordinates that cannot lie"),
        ([shape("circle", [[1e308, -1e308], [-1e308, 1e308]])], "cannot lie in an image"),
        (
            [shape("polygon", INSIDE, ["cat"])],
            r"shapes\[0\]\.label: expected a whole number or text",
        ),
        (
            [shape("polygon", INSIDE, " ")],
            r"shapes\[0\]: label is empty: expected the name",
        ),
        ([shape("polygon", INSIDE, group_id=[1])], r"shapes\[0\]\.group_id: expected"),
        ([shape("mask", [[1, 2], [3, 4]])], "a mask that is not an image"),
        ([shape("mask", [[1, 2]], mask=encode_png(np.ones((2, 2))))], "is a mask of 1 points"),
        (
            [shape("mask", [[1, 2], [3, 4]], mask=encode_png(np.ones((49, 2))))],
            "of 2 x 49, larger than",
        ),
        (
            [shape("mask", [[99, 2], [3, 4]], mask=encode_png(np.ones((2, 2))))],
            r"at \(99, 2\), outside",
        ),
        (
            [
                shape("mask", [[1, 2], [3, 4]], group_id=1, mask=encode_png(np.ones((2, 2)))),
                shape("polygon", [[1, 1], [2e8, 1], [2e8, 2e8]], group_id=1),
            ],
            "reaches far out of its image",
        ),
    ],
)
def test_invalid_shapes_are_named(tmp_path, shapes, reason):
    with pytest.raises(DataError, match=reason):
        open_dataset(write_shapes(tmp_path, *shapes))


def test_labels_of_another_size_are_reported(tmp_path):
    with pytest.raises(DataError, match=r"a\.png has 64 x 48 pixels, but .* for 128 x 96"):
        open_dataset(write_shapes(tmp_path, imageHeight=96, imageWidth=128))[0]


def test_shapes_called_ignore_are_neither_object_nor_background(tmp_path):
    """LabelMe's own name for regions that are not trained on."""
    box = shape("rectangle", [[30, 20], [50, 40]], "__ignore__")
    over = shape("rectangle", [[40, 30], [60, 44]], "cat")
    dataset = open_dataset(write_shapes(tmp_path, shape("polygon", SQUARE), box, over))
    assert dataset.labels.names == ("cat", "background")
    assert "1 objects of __ignore__ are neither object nor background" in describe(dataset)
    sample = dataset[0]
    covered = sample.mask(1) | sample.mask(2)
    assert sample.label_ids.tolist() == [0, 0, 1] and not sample.crowds.any()
    assert sample.ignored.sum() == 400 - covered[20:40, 30:50].sum()
    assert not (sample.ignored & covered).any() and not (sample.ignored & sample.mask(3)).any()
    assert dataset.count_things().tolist() == [2]


@pytest.mark.parametrize("name", ["void", "Unlabeled", "__ignore__", "ignore", "don't care"])
def test_names_of_unknown_regions_are_no_classes(tmp_path, name):
    dataset = open_dataset(write_shapes(tmp_path, shape("rectangle", [[0, 0], [64, 24]], name)))
    assert dataset.labels.names == ("background",)
    sample = dataset[0]
    assert sample.ignored.sum() == 64 * 24 and object_areas(sample) == [64 * 24]


def test_the_background_that_labelme_names_is_the_background(tmp_path):
    labels = ("_background_", "cat")
    shapes = [shape("rectangle", [[0, 0], [32, 48]], label) for label in labels]
    dataset = open_dataset(write_shapes(tmp_path, *shapes))
    assert dataset.labels.names == labels and dataset.labels.is_thing == (False, True)


def test_images_within_the_json_need_no_file(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode()
    write_shapes(tmp_path, shape("polygon", SQUARE), imageData=data, imagePath="..\\old\\b.png")
    (tmp_path / "a.png").unlink()
    dataset = open_dataset(tmp_path)
    assert np.array_equal(dataset[0].image, image) and dataset.paths == [tmp_path / "b.png"]
    assert open_image(dataset, 0).read() == stream.getvalue()
    write_shapes(tmp_path, shape("polygon", SQUARE), imageData=data, imagePath=None)
    (tmp_path / "a.png").unlink()
    assert open_dataset(tmp_path)[0].path == tmp_path / "a.png"
    write_shapes(tmp_path, shape("polygon", SQUARE), imageData="AAAA", imagePath="b.png")
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match=r"b\.png is not an image of a known kind"):
        open_dataset(tmp_path)[0]


@pytest.mark.parametrize("sizes", [(None, None), (48, None), ("48", "64.0"), (0, 0)])
@pytest.mark.parametrize("kind", ["polygon", "mask"])
def test_absent_sizes_are_read_from_the_images(tmp_path, sizes, kind):
    drawn = {
        "polygon": shape("polygon", [[10, 5], [30, 5], [30, 20], [10, 20]]),
        "mask": shape("mask", [[10, 5], [29, 19]], mask=encode_png(np.ones((15, 20)))),
    }
    data = write_shapes(tmp_path, drawn[kind], imageHeight=sizes[0], imageWidth=sizes[1])
    assert object_areas(open_dataset(data)[0]) == [300, 48 * 64 - 300]
    content = json.loads((tmp_path / "a.json").read_text())
    del content["imageHeight"], content["imageWidth"]
    write_json(tmp_path / "a.json", content)
    assert object_areas(open_dataset(data)[0]) == [300, 48 * 64 - 300]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imageHeight": -48}, "imageHeight is -48: expected a whole number from 0"),
        ({"imageWidth": [64]}, "imageWidth: expected a number, got array"),
        ({"imageWidth": 1e30}, "imageWidth is 1e+30: expected a whole number"),
        ({"imagePath": 7}, "imagePath: expected str | null, got int"),
        ({"imagePath": "a\0.png"}, "imagePath is 'a\\x00.png': expected text of valid characters"),
        ({"imageData": 7}, "imageData: expected str | null, got int"),
    ],
)
def test_invalid_fields_are_one_line_errors(tmp_path, changes, message):
    with pytest.raises(DataError) as caught:
        open_dataset(write_shapes(tmp_path, shape("polygon", SQUARE), version="5", **changes))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def write_pair(folder, named, **changes):
    """Write a.json and b.json beside a.png and b.png, with the given image names."""
    for stem, name in zip("ab", named, strict=True):
        draw(folder, f"{stem}.png")
        content = labelme_content(name, [("cat", [SQUARE])])
        write_json(folder / f"{stem}.json", content | changes)
    return folder


def test_two_files_naming_one_image_belong_to_their_own_images(tmp_path):
    """Copied JSONs keep the `imagePath` of the first."""
    data = write_pair(tmp_path, ["a.png", "a.png"])
    assert [path.name for path in open_dataset(data).paths] == ["a.png", "b.png"]


def test_of_two_images_the_one_of_matching_size_is_used(tmp_path):
    data = write_pair(tmp_path, ["c.png", "b.png"])
    draw(tmp_path, "c.png", (20, 30))
    assert [path.name for path in open_dataset(data).paths] == ["a.png", "b.png"]
    draw(tmp_path, "c.png")
    draw(tmp_path, "a.png", (20, 30))
    assert [path.name for path in open_dataset(data).paths] == ["c.png", "b.png"]


def test_files_matching_two_images_are_refused(tmp_path):
    data = write_pair(tmp_path, ["c.png", "b.png"])
    draw(tmp_path, "c.png")
    with pytest.raises(DataError, match=r"a\.json may be of c\.png, .* or of a\.png beside it"):
        open_dataset(data)


def test_two_files_of_one_image_are_refused(tmp_path):
    write_shapes(tmp_path, shape("polygon", SQUARE))
    write_json(tmp_path / "other.json", labelme_content("a.png", [("cat", [INSIDE])]))
    with pytest.raises(DataError, match=r"a\.json and other\.json both label a\.png: keep one"):
        open_dataset(tmp_path)


def test_a_group_of_masks_and_polygons_is_one_object(tmp_path):
    data = write_shapes(
        tmp_path,
        shape("mask", [[10, 5], [29, 19]], group_id="7", mask=encode_png(np.ones((15, 20)))),
        shape("rectangle", [[20, 10], [40, 20]], group_id=7.0),
        shape("rotation", [[50, 30], [60, 30], [60, 40], [50, 40]], group_id=7),
    )
    assert object_areas(open_dataset(data)[0])[0] == 300 + 200 - 100 + 100


def test_masks_for_an_image_of_another_size_are_refused(tmp_path):
    mask = shape("mask", [[10, 5], [29, 19]], mask=encode_png(np.ones((15, 20))))
    with pytest.raises(DataError, match=r"a\.png has 64 x 48 pixels, .*a\.json are for 9000"):
        open_dataset(write_shapes(tmp_path, mask, imageHeight=9000, imageWidth=9000))


def test_masks_are_placed_where_they_lie_and_cut_at_the_edge(tmp_path):
    drawn = np.random.default_rng(0).random((20, 30)) < 0.5
    for left, top in ((0, 0), (30, 20), (50, 40), (-10, -5), (-29, 47)):
        mask = shape("mask", [[left, top], [left + 29, top + 19]], mask=encode_png(drawn))
        sample = open_dataset(write_shapes(tmp_path, mask))[0]
        whole = np.zeros((48 + 80, 64 + 80), bool)
        whole[40 + top : 60 + top, 40 + left : 70 + left] = drawn
        assert np.array_equal(sample.mask(1), whole[40:88, 40:104])


UNFINISHED = {
    "polygon": [[3, 3], [9, 9]],
    None: [[3, 3]],
    "rectangle": [[3, 3]],
    "circle": [[3, 3]],
    "rotation": [],
}


@pytest.mark.parametrize("kind", UNFINISHED)
def test_one_unfinished_shape_does_not_refuse_the_folder(tmp_path, kind):
    """LabelMe's own export ends at a polygon of two points."""
    data = write_shapes(tmp_path, shape("polygon", SQUARE), shape(kind, UNFINISHED[kind], "dog"))
    message = (
        f"shape 2 \\(dog\\) is a {kind or 'polygon'} of {len(UNFINISHED[kind])} points: left out"
    )
    with pytest.warns(DataWarning, match=rf"a\.json: {message}; shapes with too few points: 1"):
        dataset = open_dataset(data)
    assert object_areas(dataset[0])[0] > 900 and dataset.labels.names == ("cat", "background")
    assert "shapes with too few points are left out: 1" in describe(dataset)
