"""The full ADE20K as published, whose JSON files name the classes."""

import json

import numpy as np
import pytest
from map_layouts import draw_blocks, save
from published_layouts import ade20k_full

from unimask.datasets import describe, open_dataset, widest_task
from unimask.datasets.interface import DatasetOptions
from unimask.datasets.opening import split_names
from unimask.errors import DataError


def test_classes_objects_and_splits(tmp_path):
    data = ade20k_full(tmp_path)
    for folder in (data, tmp_path, data / "images" / "ADE"):
        assert split_names(folder, DatasetOptions()) == ("train", "val")
        dataset = open_dataset(folder, "val")
        assert len(dataset) == 3 and dataset.labels.names == ("car, auto", "wall")
        assert dataset.labels.is_thing == (True, False) and widest_task(dataset) == "panoptic"
    sample, blocks = dataset[0], draw_blocks(0, 4)
    assert sample.label_ids.tolist() == [0, 0, 1]
    for number, block in enumerate((1, 2, 3), start=1):
        assert (sample.mask(number) == (blocks == block)).all()
    assert (sample.ignored == (blocks == 0)).all()
    assert "parts are not read" in describe(dataset)


def test_json_in_latin_1_is_read(tmp_path):
    data = ade20k_full(tmp_path)
    for path in data.rglob("*.json"):
        text = path.read_text().replace("car, auto", "caf\N{LATIN SMALL LETTER E WITH ACUTE}")
        path.write_bytes(text.encode("latin-1"))
    assert open_dataset(data, "train").labels.names == ("café", "wall")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            '{"annotation": {"object": [{"name": "x"}]}}',
            r"is not a JSON file of ADE20K \(.*name_ndx",
        ),
        ('{"annotation": {"object": [{"name": [3], "name_ndx": 401}]}}', "is not a JSON file"),
        ('{"annotation": {"object": [{"name": "x", "name_ndx": 401}]}}', "calls class 401 'x'"),
        (
            '{"annotation": {"object": [{"name": "x", "name_ndx": 99999}]}}',
            "has class number 99999, which no map can hold",
        ),
        ('{"annotation": {"object": [', "is not a JSON file of ADE20K"),
    ],
)
def test_malformed_json_is_named(tmp_path, content, reason):
    data = ade20k_full(tmp_path)
    sorted(data.rglob("*.json"))[1].write_text(content)
    with pytest.raises(DataError, match=rf"ADE_train_00000001\.json {reason}"):
        open_dataset(data, "train")


def test_a_class_that_no_json_names_is_refused(tmp_path):
    data = ade20k_full(tmp_path)
    path = sorted(data.rglob("*_seg.png"))[0]
    save(path, np.full((48, 64, 3), 20, np.uint8))
    with pytest.raises(DataError, match=r"ADE_train_00000000_seg\.png has value .*ADE20K 2021"):
        open_dataset(data, "train")[0]


def test_the_first_release_is_not_read_as_colours(tmp_path):
    data = ade20k_full(tmp_path)
    for path in data.rglob("*.json"):
        path.with_name(f"{path.stem}_atr.txt").write_text('001 # 0 # 0 # wall # wall # ""\n')
        path.unlink()
    with pytest.raises(DataError, match=r"_atr\.txt is of ADE20K's release of 2016"):
        open_dataset(data)


def test_the_published_layout_of_another_tool(real_data):
    layout = real_data / "layouts" / "tests" / "assets" / "ade20k2020_dataset" / "dataset"
    if not layout.is_dir():
        pytest.skip(f"no published layouts at {layout}")
    dataset = open_dataset(layout, "train")
    car, person = dataset.labels.names
    assert car.startswith("car, auto") and person.startswith("person, individual")
    assert dataset[0].id_maps[0].tolist() == [[0, 2, 1, 1, 1]] * 5
    objects = json.loads((layout / "training" / "street" / "1.json").read_text())["annotation"]
    numbers = {entry["name"]: entry["name_ndx"] for entry in objects["object"]}
    assert (numbers[car], numbers[person]) == (401, 1831)
