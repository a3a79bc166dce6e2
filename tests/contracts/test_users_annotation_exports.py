"""Known problems with outlines and names as other tools write them: a test for each."""

import json

import numpy as np
import pytest
from map_layouts import draw_photo, save
from PIL import Image

from unimask.curation import check
from unimask.datasets import describe, open_dataset
from unimask.datasets.interface import DataWarning
from unimask.errors import DataError

HEIGHT, WIDTH = 48, 64
BOXES = ((4, 4, 20, 16), (10, 8, 24, 24), (2, 2, 12, 30), (8, 20, 30, 20), (20, 10, 24, 26))
"""Object of each of five images: x, y, width and height."""

AREAS = [width * height for *_, width, height in BOXES]


def corners(box):
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def coco(name="a{}.jpg", shares=False, classes=("cat",)):
    """Return a COCO JSON of five images with one object each."""
    images = [
        {"id": i, "file_name": name.format(i), "width": WIDTH, "height": HEIGHT}
        for i in range(len(BOXES))
    ]
    scale = np.tile([WIDTH, HEIGHT], 4) if shares else 1
    annotations = [
        {
            "id": i,
            "image_id": i,
            "category_id": i % len(classes),
            "segmentation": [(np.array(corners(box)) / scale).tolist()],
            "iscrowd": 0,
        }
        for i, box in enumerate(BOXES)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(classes)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write(folder, content, image="a{}.jpg"):
    """Write a COCO JSON and its images."""
    for index in range(len(BOXES)):
        save(folder / image.format(index), draw_photo(index, (HEIGHT, WIDTH)))
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "labels.json").write_text(text)
    return folder


def areas_of(dataset):
    """Return the pixels of each object in front of the background, image by image."""
    samples = [dataset[index] for index in range(len(dataset))]
    things = dataset.labels.is_thing
    return [
        [int(s.mask(i + 1).sum()) for i, label in enumerate(s.label_ids) if things[label]]
        for s in samples
    ]


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("https://host.example/bucket/my%20photo%20{}.jpg", "images/my photo {}.jpg"),
        ("s3://bucket/train/a{}.jpg?signature=a%2Fb", "images/train/a{}.jpg"),
        ("/data/upload/1/my%20photo%20{}.jpg", "images/my photo {}.jpg"),
    ],
)
def test_images_named_by_urls_are_found(tmp_path, name, image):
    """Elsewhere all images are missing."""
    dataset = open_dataset(write(tmp_path, coco(name), image))
    assert areas_of(dataset) == [[area] for area in AREAS]


def test_images_named_without_suffix_are_found(tmp_path):
    """Elsewhere all images are missing."""
    with pytest.warns(DataWarning, match=r"names 'a0', which is taken to be 'a0\.jpg'"):
        dataset = open_dataset(write(tmp_path, coco("a{}")))
    assert areas_of(dataset) == [[area] for area in AREAS]


def test_a_name_without_suffix_that_may_be_two_images_is_refused(tmp_path):
    """Either image would be a guess."""
    write(tmp_path, coco("a{}"))
    save(tmp_path / "a0.png", draw_photo(9, (HEIGHT, WIDTH)))
    with pytest.raises(DataError, match="'a0', which is in none of"):
        open_dataset(tmp_path)


def test_outlines_in_relative_coordinates_are_refused(tmp_path):
    """Elsewhere each object is one pixel or none, and check finds nothing severe."""
    with pytest.raises(DataError, match=r"between 0 and 1: .* multiply x by the width"):
        open_dataset(write(tmp_path / "coco", coco(shares=True)))
    for index, box in enumerate(BOXES):
        points = np.array(corners(box)).reshape(-1, 2) / (WIDTH, HEIGHT)
        shape = {"label": "cat", "points": points.tolist(), "shape_type": "polygon"}
        size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
        save(tmp_path / "labelme" / f"a{index}.jpg", draw_photo(index, (HEIGHT, WIDTH)))
        content = {"shapes": [shape], "imagePath": f"a{index}.jpg", **size}
        (tmp_path / "labelme" / f"a{index}.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"a0\.json: shape 1 and all others lie between 0 and 1"):
        open_dataset(tmp_path / "labelme")


def test_json_with_comments_is_refused_as_invalid_json(tmp_path):
    """Elsewhere the folder "contains no dataset", or the JSON "lists no annotations"."""
    text = json.dumps(coco())
    with pytest.raises(DataError, match=r"labels\.json cannot be read as JSON"):
        open_dataset(write(tmp_path / "a", f"// by hand\n{text}"))
    commented = text.replace('"annotations"', '/* all */ "annotations"')
    with pytest.raises(DataError, match=r"labels\.json .* cannot be read as JSON"):
        open_dataset(write(tmp_path / "b", commented))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("cat", "cat "), "classes 'cat' and 'cat ' differ only in spaces or letter case"),
        (("Cat", "cat"), "classes 'Cat' and 'cat' differ only in spaces or letter case"),
        (("gr\ufffdn", "cat"), "1 class names hold bytes that are not UTF-8, such as gr\ufffdn"),
    ],
)
def test_similar_or_undecoded_class_names_are_reported(tmp_path, classes, message):
    """Elsewhere a stray space splits a class in two without a message."""
    report = check(write(tmp_path, coco(classes=classes)))
    assert any(message in finding.message for finding in report.findings)


def write_panoptic(folder, suffix, annotated=5):
    """Write a COCO panoptic dataset whose annotations name their PNG files by some suffix."""
    content = coco()
    content["categories"] = [
        {"id": 1, "name": "cat", "isthing": 1},
        {"id": 2, "name": "grass", "isthing": 0},
    ]
    content["annotations"] = []
    for index, (x, y, width, height) in enumerate(BOXES):
        ids = np.full((HEIGHT, WIDTH), 2, np.uint8)
        ids[y : y + height, x : x + width] = 1
        path = folder / "panoptic" / f"a{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([ids, ids * 0, ids * 0], axis=2)).save(path)
        segments = [{"id": number, "category_id": number} for number in (1, 2)]
        entry = {"image_id": index, "file_name": f"a{index}{suffix}", "segments_info": segments}
        content["annotations"] += [entry] if index < annotated else []
    for index in range(len(BOXES)):
        save(folder / "images" / f"a{index}.jpg", draw_photo(index, (HEIGHT, WIDTH)))
    (folder / "panoptic.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG"])
def test_panoptic_masks_are_found_by_the_names_of_their_images(tmp_path, suffix):
    """Elsewhere all images are looked for in the wrong folder, and cannot be read."""
    dataset = open_dataset(write_panoptic(tmp_path, suffix))
    assert areas_of(dataset) == [[area] for area in AREAS]


def test_images_without_a_panoptic_annotation_are_reported(tmp_path):
    """Elsewhere they are left out without a message."""
    with pytest.warns(DataWarning, match=r"2 images have no annotation, such as 'a3\.jpg'"):
        dataset = open_dataset(write_panoptic(tmp_path, ".png", annotated=3))
    assert areas_of(dataset) == [[area] for area in AREAS[:3]]


def test_images_are_found_by_urls_in_labels(tmp_path):
    """LVIS has no file names: elsewhere "images[0] lacks the field file_name"."""
    content = coco()
    for index, image in enumerate(content["images"]):
        del image["file_name"]
        image["coco_url"] = f"http://images.example/val2017/a{index}.jpg"
    dataset = open_dataset(write(tmp_path, content, "val2017/a{}.jpg"))
    assert areas_of(dataset) == [[area] for area in AREAS]


def test_an_unread_second_cvat_file_is_reported(tmp_path):
    """Elsewhere the labels of one of two jobs are lost without a message."""
    for job in (1, 2):
        labels = "<meta><job><labels><label><name>cat</name></label></labels></job></meta>"
        images = "".join(
            f'<image id="{i}" name="a{i}.jpg" width="{WIDTH}" height="{HEIGHT}"><box label="cat" '
            f'xtl="{x}" ytl="{y}" xbr="{x + width}" ybr="{y + height}" z_order="0"/></image>'
            for i, (x, y, width, height) in enumerate(BOXES)
        )
        text = f"<annotations><version>1.1</version>{labels}{images}</annotations>"
        (tmp_path / f"job_{job}.xml").write_text(text)
    for index in range(len(BOXES)):
        save(tmp_path / f"a{index}.jpg", draw_photo(index, (HEIGHT, WIDTH)))
    dataset = open_dataset(tmp_path)
    assert areas_of(dataset) == [[area] for area in AREAS]
    assert "labels in job_2.xml are not read: one XML per folder is" in describe(dataset)


def test_jsons_of_one_name_in_parallel_folders_find_their_own_images(tmp_path):
    """Elsewhere labels/s0/p.json and labels/s1/p.json "both label p.jpg"."""
    for index, box in enumerate(BOXES):
        points = np.array(corners(box)).reshape(-1, 2).tolist()
        shape = {"label": "cat", "points": points, "shape_type": "polygon"}
        size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
        save(tmp_path / "images" / f"s{index}" / "p.jpg", draw_photo(index, (HEIGHT, WIDTH)))
        path = tmp_path / "labels" / f"s{index}" / "p.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"shapes": [shape], "imagePath": "p.jpg", **size}))
    dataset = open_dataset(tmp_path)
    assert [path.parent.name for path in dataset.paths] == [f"s{i}" for i in range(len(BOXES))]
    assert areas_of(dataset) == [[area] for area in AREAS]
