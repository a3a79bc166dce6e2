"""COCO JSONs of other tools: ids and flags in other spellings, and null fields."""

import json

import numpy as np
import pytest
from outlines import (
    CORNER,
    INSIDE,
    SIZE,
    SQUARE,
    coco_content,
    draw,
    flatten,
    outline,
    write_annotation,
    write_json,
    write_labels,
)  # fmt: skip

from unimask.datasets import describe, open_dataset
from unimask.datasets.interface import DataWarning
from unimask.datasets.objects.coco_reader import CocoReader
from unimask.errors import DataError

OBJECTS = [2, 1, 2, 1, 0]
"""Number of objects of each image, by name."""


def count_objects(dataset):
    """Count the objects of each image, without the background."""
    return [int((dataset[index].label_ids < 2).sum()) for index in range(len(dataset))]


@pytest.mark.parametrize("spell", [str, float, lambda number: f" {number} ", lambda n: f"{n}.0"])
@pytest.mark.parametrize("key", ["image_id", "category_id"])
def test_ids_spelled_differently_in_annotations_are_matched(tmp_path, spell, key):
    """VIA writes `image_id` as text beside numbers; spreadsheets write all numbers as floats."""
    content = coco_content()
    for annotation in content["annotations"]:
        annotation[key] = spell(annotation[key])
    dataset = open_dataset(write_labels(tmp_path, content))
    assert count_objects(dataset) == OBJECTS and dataset.labels.names == (
        "cat",
        "cap",
        "background",
    )
    assert dataset[0].label_ids.tolist() == [0, 1, 2]
    assert dataset.category_ids == {7: 0, 17: 1} and dataset.image_ids == [0, 5, 15, 20, 10]


@pytest.mark.parametrize(("first", "second"), [(0, "0"), (1, 1.0), ("1.0", 1), ("a", " a"), (3, 3)])
@pytest.mark.parametrize("key", ["images", "categories"])
def test_two_spellings_of_one_id_are_refused(tmp_path, key, first, second):
    content = coco_content({"a.png": [], "b.png": []})
    content[key][0]["id"], content[key][1]["id"] = first, second
    message = f"id {first!r}" if repr(first) == repr(second) else f"ids {first!r}, {second!r}"
    with pytest.raises(DataError) as caught:
        open_dataset(write_labels(tmp_path, content))
    assert f"lists two {key} of {message}, which is one id: renumber one" in str(caught.value)


def test_ids_with_leading_zeros_are_names(tmp_path):
    content = coco_content({"a.png": [], "b.png": []})
    content["images"][0]["id"], content["images"][1]["id"] = "01", 1
    assert open_dataset(write_labels(tmp_path, content)).image_ids == ["01", 1]


@pytest.mark.parametrize(
    ("flag", "crowd"),
    [("0", False), ("false", False), (float("nan"), False), (None, False), (0.0, False),
     ("1", True), ("True", True), (True, True), (1.0, True)],
)  # fmt: skip
def test_flags_given_as_text_are_parsed(tmp_path, flag, crowd):
    """In Python, the texts "0" and "false" are true: all objects would be ignored."""
    data = write_labels(tmp_path, write_annotation([flatten(SQUARE)], iscrowd=flag))
    assert open_dataset(data)[0].crowds.tolist() == [crowd, False]


@pytest.mark.parametrize("area", [float("nan"), None, -5, "", float("inf")])
def test_missing_areas_are_counted_from_the_mask(tmp_path, area):
    sample = open_dataset(write_labels(tmp_path, write_annotation([flatten(SQUARE)], area=area)))[0]
    assert sample.areas is None and sample.mask(1).sum() == outline(SQUARE).sum()


@pytest.mark.parametrize("form", [[SQUARE], SQUARE, flatten(SQUARE), [flatten(SQUARE)]])
def test_polygons_as_points_or_as_numbers_are_the_same_object(tmp_path, form):
    sample = open_dataset(write_labels(tmp_path, write_annotation(form)))[0]
    assert np.array_equal(sample.mask(1), outline(SQUARE)) and not sample.crowds.any()


@pytest.mark.parametrize("missing", [[], None, "", float("nan"), {}])
def test_annotations_without_outline_and_box_are_counted(tmp_path, missing):
    content = coco_content()
    content["annotations"][1] |= {"segmentation": missing, "bbox": None}
    if missing == {}:
        with pytest.raises(DataError, match="annotation 101 has no mask that can be read"):
            open_dataset(write_labels(tmp_path, content))
        return
    with pytest.warns(
        DataWarning, match=r"1 annotations have neither .* \(the first is annotation"
    ):
        assert count_objects(open_dataset(write_labels(tmp_path, content)))[0] == 1


def test_files_without_any_outlines_are_refused(tmp_path):
    content = coco_content()
    for annotation in content["annotations"]:
        del annotation["segmentation"], annotation["bbox"]
    with pytest.raises(DataError, match=r"annotations without outlines only .*annotation 100"):
        open_dataset(write_labels(tmp_path, content))


def test_an_image_listed_twice_keeps_its_objects(tmp_path):
    content = coco_content()
    duplicate = content["images"][0] | {"id": 99, "file_name": "a.png"}
    content["images"].append(duplicate)
    with pytest.warns(DataWarning, match="1 images more than once, such as 'a.png'"):
        dataset = open_dataset(write_labels(tmp_path, content))
    assert count_objects(dataset) == OBJECTS and 99 not in dataset.image_ids
    content["annotations"].append(content["annotations"][0] | {"id": 9, "image_id": 99})
    with pytest.raises(DataError, match=r"'a\.png' as image 0 and as image 99, both with objects"):
        open_dataset(write_labels(tmp_path, content))


def test_annotations_without_ids_are_named_by_their_place(tmp_path):
    content = coco_content()
    for annotation in content["annotations"]:
        annotation["id"] = "8a5e-uuid"
    content["annotations"][1]["segmentation"] = [[1, 1, 200, 1, 9, 9]]
    with pytest.raises(DataError, match=r"annotations\[1\] of a\.png reaches"):
        open_dataset(write_labels(tmp_path, content))


@pytest.mark.parametrize(
    ("key", "field", "value", "message"),
    [
        ("images", "height", 1e30, "images[0]: height is 1e+30: expected a whole number from 0"),
        ("images", "height", -48, "images[0]: height is -48: expected a whole number from 0"),
        ("images", "width", [64], "images[0].width: expected a number, got array"),
        ("images", "file_name", 7, "images[0].file_name: expected str, got int"),
        ("images", "file_name", "a\0.png", "file_name is 'a\\x00.png': expected text of valid"),
        ("images", "file_name", "\ud83d.png", "file_name is '\\ud83d.png': expected text of valid"),
        ("images", "id", None, "images[0].id: expected a whole number or text, got null"),
        ("images", "id", 10**30, "images[0]: id is a number of 100 bits: expected an id"),
        ("categories", "id", None, "categories[0].id: expected a whole number or text, got null"),
        ("categories", "name", ["cat"], "categories[0].name: expected a whole number or text"),
        ("annotations", "category_id", None, "annotations[0].category_id: expected a whole number"),
        ("annotations", "image_id", 1.5, "annotations[0]: image_id is 1.5: expected an id"),
        ("annotations", "iscrowd", "maybe", "annotations[0]: iscrowd is 'maybe': expected 0 or 1"),
        ("annotations", "iscrowd", 2, "annotations[0]: iscrowd is 2: expected 0 or 1"),
        ("annotations", "area", 10**400, "annotations[0]: area is a number of 1329 bits"),
        ("annotations", "segmentation", "[[1, 1, 9, 1, 9, 9]]", "100 has neither polygons nor run"),
        (
            "annotations",
            "segmentation",
            [[10**400] * 6],
            "100 has coordinates that are not numbers",
        ),
    ],
)
def test_invalid_fields_are_one_line_errors(tmp_path, key, field, value, message):
    content = coco_content()
    write_labels(tmp_path, content)
    content[key][0][field] = value
    write_json(tmp_path / "labels.json", content)
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    assert message in str(caught.value) and str(tmp_path / "labels.json") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("group", [["pets"], {"id": 1}, 7, None])
def test_placeholder_classes_of_groups_may_have_any_type(tmp_path, group):
    content = coco_content()
    for category in content["categories"]:
        category["supercategory"] = group
    assert len(open_dataset(write_labels(tmp_path, content)).labels) == 3


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_file_in_another_encoding_is_read(tmp_path, encoding):
    content = coco_content()
    content["categories"][1]["name"] = "Mütze"
    write_labels(tmp_path, content)
    text = json.dumps(content, ensure_ascii=False)
    (tmp_path / "labels.json").write_text(text, encoding=encoding)
    reader = CocoReader(tmp_path / "labels.json")
    reader.read()
    assert [category.name for category in reader.categories.values()] == ["cat", "Mütze"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [], "annotations": ' + "[" * 10**5, "is nested too deeply"),
        ('{"images": [{"id" 1}], "annotations": []}', "Expecting ':' delimiter, character 18"),
        (json.dumps(coco_content()) * 2, "'{' after the end of the object"),
        (json.dumps(coco_content())[:300], "is not the JSON it should be"),
        ('{"images": [' + "1" * 5000 + "]}", "is not the JSON it should be"),
    ],
)
def test_text_that_is_no_json_of_labels_is_one_line(tmp_path, text, message):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(DataError) as caught:
        CocoReader(tmp_path / "labels.json").read()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_height_and_width_in_text_or_absent(tmp_path):
    content = coco_content()
    sizes = [("48", "64.0"), (None, None), (48.0, 64), (48, None), (0, 0)]
    for image, (height, width) in zip(content["images"], sizes, strict=True):
        image |= {"height": height, "width": width}
    dataset = open_dataset(write_labels(tmp_path, content))
    sizes = dict(zip([path.name for path in dataset.paths], dataset.annotations.sizes, strict=True))
    assert sizes["a.png"].tolist() == list(SIZE) == sizes["empty.png"].tolist()
    assert sizes["b.png"].tolist() == sizes["c.png"].tolist() == [0, 0]
    assert count_objects(dataset) == OBJECTS


def test_objects_far_outside_of_a_image_of_unknown_size_are_refused(tmp_path):
    content = write_annotation([[1, 1, 2e8, 1, 2e8, 2e8, 9, 9]])
    content["images"][0] |= {"height": None, "width": None}
    with pytest.raises(DataError, match=r"annotation 100 of a\.png reaches \(2e\+08, "):
        open_dataset(write_labels(tmp_path, content))[0]


def test_images_outside_the_dataset_folders_are_named(tmp_path):
    draw(tmp_path, "b.png")
    write_json(tmp_path / "labels.json", coco_content({"a.png": [("cat", [INSIDE])]}))
    with pytest.raises(DataError, match=r"labels\.json names 'a\.png'"):
        open_dataset(tmp_path)


def test_categories_called_ignore_are_no_classes_and_no_objects(tmp_path):
    content = write_annotation([flatten(SQUARE)])
    content["categories"] += [{"id": 30, "name": "__ignore__"}, {"id": 31, "name": "Void"}]
    content["annotations"] += [
        content["annotations"][0] | {"id": 1, "category_id": 30, "segmentation": [flatten(CORNER)]},
        content["annotations"][0] | {"id": 2, "category_id": 31, "segmentation": [flatten(INSIDE)]},
    ]
    dataset = open_dataset(write_labels(tmp_path, content))
    assert dataset.labels.names == ("cat", "cap", "background")
    assert dataset.category_ids == {7: 0, 17: 1}
    assert "2 objects of __ignore__, Void are neither object nor background" in describe(dataset)
    sample = dataset[0]
    assert sample.label_ids.tolist() == [0, 2]
    assert np.array_equal(sample.ignored, outline(CORNER))  # the other one is inside the cat
    assert np.array_equal(sample.mask(2), ~outline(CORNER) & ~outline(SQUARE))
    assert dataset.count_things().tolist() == [1]


def test_objects_that_pile_up_are_refused_before_they_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("unimask.datasets.objects.layers.MAX_LAYER_VALUES", 3 * SIZE[0] * SIZE[1])
    content = write_annotation([flatten(SQUARE)])
    data = write_labels(tmp_path, content)
    for count, message in (
        (3, ""),
        (4, r"a\.png: 4 objects lie over one another .* 64 x 48"),
    ):
        content["annotations"] = [content["annotations"][0]] * count
        write_json(data / "labels.json", content)
        if message:
            with pytest.raises(DataError, match=message):
                open_dataset(data)[0]
        else:
            assert open_dataset(data)[0].label_ids.tolist() == [0, 0, 0, 2]
