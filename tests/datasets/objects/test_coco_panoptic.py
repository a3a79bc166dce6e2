"""COCO panoptic: things, crowds, ignored pixels, and contradictory files."""

import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from unimask.datasets import describe, open_dataset
from unimask.errors import DataError
from unimask.formats.panoptic_png import encode_ids


@pytest.fixture
def coco(tmp_path):
    """Dataset of two cats (one a crowd) and a sky; one column has no segment."""
    for kind in ("images", "panoptic"):
        (tmp_path / kind).mkdir()
    ids = np.zeros((4, 6), np.int32)
    ids[:, 0], ids[:, 1:3], ids[:, 3:5] = 70000, 8, 9
    Image.new("RGB", (6, 4)).save(tmp_path / "images" / "a.jpg")
    Image.fromarray(encode_ids(ids)).save(tmp_path / "panoptic" / "a.png")
    content = {
        "images": [{"id": 5, "file_name": "a.jpg"}],
        "categories": [
            {"id": 200, "name": "sky", "isthing": 0},
            {"id": 17, "name": "cat", "isthing": 1},
        ],
        "annotations": [
            {
                "image_id": 5,
                "file_name": "a.png",
                "segments_info": [
                    {"id": 70000, "category_id": 17, "iscrowd": 0},
                    {"id": 8, "category_id": 17, "iscrowd": 1},
                    {"id": 9, "category_id": 200, "iscrowd": 0},
                ],
            }
        ],
    }
    (tmp_path / "panoptic.json").write_text(json.dumps(content))
    return tmp_path, content


def test_coco_panoptic_keeps_things_crowds_and_void(coco):
    folder, _ = coco
    dataset = open_dataset(folder)
    assert dataset.labels.names == ("cat", "sky") and dataset.labels.is_thing == (True, False)
    sample = dataset[0]
    assert sample.label_ids.tolist() == [0, 0, 1] and sample.crowds.tolist() == [False, True, False]
    assert sample.mask(1)[:, 0].all() and sample.mask(3).sum() == 8
    assert sample.ignored[:, 5].all() and sample.ignored.sum() == 4


def rewrite(folder, content, change):
    change(content)
    (folder / "panoptic.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["annotations"][0]["segments_info"].pop(0), "has segment 70000"),
        (lambda c: c["annotations"][0]["segments_info"][0].update(category_id=3), "category 3"),
        (lambda c: c.pop("categories"), "has no categories"),
        (lambda c: c["annotations"].clear(), "no annotations"),
        (lambda c: c["annotations"][0].update(file_name="b.png"), r"b\.png cannot be read"),
    ],
)
def test_coco_panoptic_that_contradicts_itself_is_refused(coco, change, reason):
    folder, content = coco
    rewrite(folder, content, change)
    with pytest.raises(DataError, match=reason):
        open_dataset(folder)[0]


def test_coco_layout_of_the_official_files(coco, tmp_path):
    folder, content = coco
    official = tmp_path / "official"
    (official / "annotations").mkdir(parents=True)
    (folder / "panoptic").rename(official / "annotations" / "panoptic_val")
    (folder / "images").rename(official / "val")
    (official / "annotations" / "panoptic_val.json").write_text(json.dumps(content))
    assert len(open_dataset(official, "val")) == 1


SEGMENT = ("annotations", 0, "segments_info", 0)


def put(content, path, value):
    *parents, last = path
    for key in parents:
        content = content[key]
    content[last] = value


@pytest.mark.parametrize("spell", [str, float, lambda number: f"{number}.0"])
def test_ids_and_flags_in_text_or_as_floats_mean_the_same(coco, spell):
    folder, content = coco
    content["categories"][1]["isthing"] = spell(1)
    content["categories"][0]["isthing"] = "0"
    content["annotations"][0]["image_id"] = spell(5)
    for segment in content["annotations"][0]["segments_info"]:
        segment |= {key: spell(segment[key]) for key in ("id", "category_id", "iscrowd")}
    rewrite(folder, content, lambda _: None)
    dataset = open_dataset(folder)
    assert dataset.labels.is_thing == (True, False)
    sample = dataset[0]
    assert sample.crowds.tolist() == [False, True, False] and sample.mask(1).sum() == 4
    assert dataset.count_things().tolist() == [1] and sample.ignored.sum() == 4


@pytest.mark.parametrize("name", ["void", "Unlabeled", "__ignore__"])
def test_segments_of_void_are_ignored_and_no_class(coco, name):
    folder, content = coco
    rewrite(folder, content, lambda c: c["categories"][0].update(name=name))
    dataset = open_dataset(folder)
    assert dataset.labels.names == ("cat",) and f"and so is {name}" in describe(dataset)
    sample = dataset[0]
    assert sample.label_ids.tolist() == [0, 0] and sample.ignored[:, 3:].all()
    assert sample.ignored.sum() == 12 and dataset.count_things().tolist() == [1]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (SEGMENT[:3], None, "annotations[0].segments_info: expected array, got null"),
        ((*SEGMENT, "id"), "x", "annotations[0].segments_info[0]: id is 'x': expected a number"),
        (
            (*SEGMENT, "id"),
            10**30,
            "segments_info[0]: id is a number of 100 bits: expected a",
        ),
        ((*SEGMENT, "id"), 0, "segments_info[0]: id is 0: expected a whole number from 1 to 16777"),
        ((*SEGMENT, "id"), 8, "annotations[0] lists segment 8 twice"),
        ((*SEGMENT, "category_id"), [1], "segments_info[0].category_id: expected a whole number"),
        (("annotations", 0, "file_name"), 7, "annotations[0].file_name: expected str, got int"),
        (("annotations", 0, "file_name"), "a\0", "file_name is 'a\\x00': expected text of valid"),
        (
            ("annotations", 0, "image_id"),
            6,
            "annotations[0] has image_id 6, which the file",
        ),
        (("images", 0, "file_name"), None, "images[0].file_name: expected str, got null"),
        (("images", 0, "height"), 1e30, "images[0]: height is 1e+30: expected a whole number"),
        (("categories", 0, "id"), "17", "lists two categories whose id is 17"),
        (
            ("categories", 0, "isthing"),
            "maybe",
            "categories[0]: isthing is 'maybe': expected",
        ),
        (("categories", 0), 3, "categories[0]: expected object, got int"),
    ],
)
def test_invalid_fields_are_one_line_errors(coco, path, value, message):
    folder, content = coco
    rewrite(folder, content, lambda c: put(c, path, value))
    with pytest.raises(DataError) as caught:
        open_dataset(folder)[0]
    assert message in str(caught.value) and "panoptic.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_huge_png_is_refused_by_its_header(coco):
    """Decoding its pixels would take gigabytes."""
    folder, _ = coco
    header = struct.pack(">4sIIBBBBB", b"IHDR", 20000, 20000, 8, 2, 0, 0, 0)
    sums = [struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, b"IDAT")]
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + sums[0]
    (folder / "panoptic" / "a.png").write_bytes(png + struct.pack(">I", 0) + b"IDAT" + sums[1])
    with pytest.raises(DataError, match=r"a\.png is 20000 x 20000, but its image a\.jpg is 4 x 6"):
        open_dataset(folder)[0]


def test_pngs_of_other_kinds_are_named(coco):
    folder, _ = coco
    Image.new("I;16", (6, 4)).save(folder / "panoptic" / "a.png")
    with pytest.raises(DataError, match=r"a\.png is a I;16 image; COCO panoptic uses RGB"):
        open_dataset(folder)[0]
    (folder / "panoptic" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 30)
    with pytest.raises(DataError, match=r"a\.png cannot be read"):
        open_dataset(folder)[0]


def test_two_annotations_of_one_image_are_refused(coco):
    folder, content = coco
    rewrite(folder, content, lambda c: c["annotations"].append(dict(c["annotations"][0])))
    with pytest.raises(DataError, match=r"annotations\[1\] is the second of image 5: remove one"):
        open_dataset(folder)
