"""Image folders of Hugging Face: objects or masks named in metadata.jsonl or metadata.csv."""

import json

import numpy as np
import pytest
from outlines import CORNER, INSIDE, SQUARE, draw, outline
from tool_exports import (
    metadata_rows,
    run_lengths,
    write_json_lines,
    write_metadata,
    write_metadata_of_masks,
)

from unimask.datasets import describe, detect_format, open_dataset
from unimask.errors import DataError

pytest.importorskip("pycocotools.mask")


def write_rows(folder, *rows, images=("a.png",)):
    for name in images:
        draw(folder, name)
    write_json_lines(folder / "metadata.jsonl", rows)
    return folder


def test_objects_have_the_expected_classes_and_pixels(tmp_path):
    data = write_metadata(tmp_path)
    assert detect_format(data).format == "Hugging Face image folder"
    train, val = (open_dataset(data, split) for split in ("train", "val"))
    assert train.labels == val.labels and train.labels.names == ("cap", "cat", "background")
    assert [path.name for path in train.paths] == ["a.png", "b.png", "empty.png", "c.png", "d.png"]
    assert train.count_things().tolist() == [2, 1, 0, 2, 1]
    sample = train[0]
    assert sample.label_ids.tolist() == [1, 0, 2]
    assert np.array_equal(sample.mask(1), outline(SQUARE))
    assert np.array_equal(train[1].mask(1), outline(INSIDE) | outline(CORNER))


def test_numbered_classes_are_named_by_a_file_or_the_user(tmp_path):
    data = write_metadata(tmp_path, classes=(0, 1))
    assert open_dataset(data, "train").labels.names == ("class 0", "class 1", "background")
    names = ("cat", "cap")
    assert open_dataset(data, "train", names=names).labels.names == (*names, "background")
    with pytest.raises(DataError, match=r"1 names, but .* has 2 classes"):
        open_dataset(data, "train", names=("cat",))
    (data / "id2label.json").write_text(json.dumps({"0": "cat", "1": "cap", "2": "dog"}))
    expected = ("cat", "cap", "dog", "background")
    assert open_dataset(data, "train").labels.names == expected


def test_objects_may_be_a_list_with_run_lengths(tmp_path):
    objects = [{"category": "cat", "segmentation": run_lengths([SQUARE]), "id": 9}]
    data = write_rows(tmp_path, {"file_name": "a.png", "annotations": objects})
    assert np.array_equal(open_dataset(data)[0].mask(1), outline(SQUARE))


@pytest.mark.parametrize("table", [False, True])
def test_masks_named_in_a_column_are_read(tmp_path, table):
    data = write_metadata_of_masks(tmp_path, table=table)
    assert detect_format(data).format == "Hugging Face image folder"
    dataset = open_dataset(data)
    assert dataset.labels.names[-2:] == ("sky", "road") and len(dataset) == 6
    assert "masks in the column mask_file_name" in describe(dataset)
    assert (dataset[0].front[:, 32:] == dataset[0].front[0, 40]).all()


def test_captions_alone_are_no_segmentation(tmp_path):
    data = write_rows(tmp_path, {"file_name": "a.png", "label": "cat", "caption": "a cat"})
    with pytest.raises(DataError, match=r"has label, caption for each image, which is no segm"):
        open_dataset(data)


def test_boxes_alone_are_refused(tmp_path):
    objects = {"bbox": [[1, 1, 9, 9]], "categories": [0]}
    data = write_rows(tmp_path, {"file_name": "a.png", "objects": objects})
    with pytest.raises(DataError, match="has boxes only"):
        open_dataset(data)


def first_row(**changes):
    return metadata_rows()[0] | changes


def objects(**fields):
    return {"bbox": [], "categories": ["cat"], "segmentation": [[[1, 1, 9, 1, 9, 9]]]} | fields


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([first_row(), 7], "line 2 has no file_name"),
        ([first_row(), {"caption": "x"}], "line 2 has no file_name"),
        ([first_row(), first_row(file_name="gone.png")], "names 'gone.png', which is in none of"),
        ([first_row(), first_row(objects=7)], "line 2 lists no objects"),
        ([first_row(objects=objects())], "line 1 lists no objects"),
        ([first_row(objects=objects(bbox=[[1, 1, 2, 2]], categories=[None]))], "expected an id"),
        ([first_row(objects=objects(bbox=[[1, 1, 2, 2]], segmentation=[7]))], "neither polygons"),
    ],
)
def test_rows_that_are_none_are_named(tmp_path, rows, reason):
    with pytest.raises(DataError, match=reason):
        open_dataset(write_rows(tmp_path, *rows))


def test_lines_that_are_not_json_are_named(tmp_path):
    data = write_rows(tmp_path, first_row())
    with (data / "metadata.jsonl").open("a") as stream:
        stream.write("{broken\n")
    with pytest.raises(DataError, match=r"metadata\.jsonl cannot be read \(line 2: "):
        open_dataset(data)


def test_other_metadata_is_not_taken_for_labels(tmp_path):
    """A metadata.csv without file names is another program's."""
    draw(tmp_path / "images", "a.png")
    (tmp_path / "metadata.csv").write_text("patient,age\n1,50\n")
    with pytest.raises(DataError, match="contains no dataset in a known format"):
        open_dataset(tmp_path)
