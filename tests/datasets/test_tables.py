"""Hugging Face datasets: saved to disk, as parquet files, and from the Hub."""

import io
import json
from unittest import mock

import numpy as np
import outlines
import pytest
from conftest import draw_discs, write_discs
from map_layouts import draw_blocks, draw_photo
from PIL import Image

from unimask.curation import check, convert
from unimask.datasets import describe, detect_format, open_dataset, split_names, widest_task
from unimask.datasets.interface import DatasetOptions, open_image
from unimask.datasets.tables import find
from unimask.datasets.tables.packing import Column
from unimask.errors import DataError, ImageError, MissingExtraError, SettingsError
from unimask.labels import LabelSet

library = pytest.importorskip(
    "datasets.arrow_dataset", reason="the extra `datasets` is not installed"
)
import datasets  # noqa: E402

NAMES = ["unlabelled", "sky", "road"]
FEATURES = datasets.Features({"image": datasets.Image(), "annotation": datasets.Image()})


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def encode_image(pixels, format="PNG"):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format)
    return {"bytes": stream.getvalue(), "path": None}


def semantic_rows(count, first=0):
    seeds = range(first, first + count)
    return {
        "image": [encode_image(draw_photo(seed), "JPEG") for seed in seeds],
        "annotation": [encode_image(draw_blocks(seed, 3)) for seed in seeds],
    }


def save_tables(folder, splits, features=FEATURES):
    tables = {
        name: datasets.Dataset.from_dict(rows, features=features) for name, rows in splits.items()
    }
    datasets.DatasetDict(tables).save_to_disk(str(folder))
    return folder


def label_map(sample):
    return np.array([-1, *sample.label_ids])[sample.id_maps[0]]


def test_semantic_maps_saved_to_disk_are_read_like_those_in_folders(tmp_path):
    """Names are read from id2label.json, and unlabelled pixels are ignored."""
    folder = save_tables(
        tmp_path / "streets", {"train": semantic_rows(3), "validation": semantic_rows(2, first=3)}
    )
    (folder / "id2label.json").write_text(json.dumps(dict(enumerate(NAMES))))
    assert detect_format(folder).format == "Hugging Face dataset"
    assert split_names(folder, DatasetOptions()) == ("train", "val")
    dataset = open_dataset(folder, "val")
    assert dataset.labels == LabelSet(("sky", "road"), (False, False)) and len(dataset) == 2
    sample = dataset[1]
    assert (label_map(sample) == draw_blocks(4, 3).astype(int) - 1).all()
    jpeg = Image.open(io.BytesIO(semantic_rows(1, first=4)["image"][0]["bytes"]))
    assert (sample.image == np.asarray(jpeg)).all()
    assert sample.path == folder / "val" / "image" / "000001.jpg"
    assert (sample.ignored == (draw_blocks(4, 3) == 0)).all()
    assert widest_task(dataset) == "semantic" and "images in image" in describe(dataset)
    assert open_image(dataset, 1).read() == semantic_rows(1, first=4)["image"][0]["bytes"]


def test_one_table_is_split_by_the_rule_of_folders(tmp_path):
    table = datasets.Dataset.from_dict(semantic_rows(6), features=FEATURES)
    table.save_to_disk(str(tmp_path / "table"))
    assert [len(open_dataset(tmp_path / "table", split)) for split in ("train", "val")] == [5, 1]
    assert open_dataset(tmp_path / "table").labels.names == ("class 0", "class 1", "class 2")


def parquet(folder, rows, features, split="train"):
    table = datasets.Dataset.from_dict(rows, features=features)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    table.to_parquet(str(folder / "data" / f"{split}-00000-of-00001.parquet"))
    return folder


def test_parquet_files_beside_a_card_and_names_that_images_had(tmp_path):
    rows = semantic_rows(5)
    for index, cell in enumerate(rows["image"]):
        cell["path"] = f"frames/{index}_left.jpg"
    folder = parquet(tmp_path / "streets", rows, FEATURES)
    parquet(folder, semantic_rows(2), FEATURES, "test")
    head = "---\nid2label:\n  0: void\n  1: sky\n  2: road\n---\n# Streets\n"
    (folder / "README.md").write_text(head)
    dataset = open_dataset(folder, "train")
    assert dataset.labels.names == ("sky", "road") and dataset.paths[0].name == "0_left.jpg"
    assert split_names(folder, DatasetOptions()) == ("train", "val", "test") and len(dataset) == 4


def test_a_card_with_numbers_that_no_map_stores_names_no_classes(tmp_path):
    folder = parquet(tmp_path / "streets", semantic_rows(5), FEATURES)
    for number in (10**10, 10**30):
        (folder / "README.md").write_text(f"---\nid2label:\n  {number}: void\n  1: sky\n---\n")
        dataset = open_dataset(folder, "train")
        assert dataset.labels.names == ("class 0", "class 1", "class 2")
        assert set(label_map(dataset[0]).flat) <= {0, 1, 2}


def test_names_that_leave_out_the_background_are_shifted(tmp_path):
    """Transformers handles this convention with do_reduce_labels."""
    folder = save_tables(tmp_path / "few", {"train": semantic_rows(5)})
    (folder / "id2label.json").write_text(json.dumps({"0": "sky", "1": "road"}))
    assert open_dataset(folder).labels.names == ("background", "sky", "road")


def channels(seed):
    """Draw an object of classes 1 and 2 each, and a crowd of class 1."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[4:20, 4:20, :2], pixels[24:40, 4:20, :2], pixels[4:9, 40:, :2] = (1, 1), (2, 2), (1, 0)
    pixels[20:, 40:, 0] = 3 if seed % 2 else 0
    return pixels


def test_class_in_red_and_object_id_in_green(tmp_path):
    """The layout of examples of instance segmentation: classes with objects are things."""
    rows = {
        "image": [encode_image(draw_photo(seed)) for seed in range(4)],
        "annotation": [encode_image(channels(seed)) for seed in range(4)],
    }
    folder = save_tables(tmp_path / "pets", {"train": rows, "validation": rows})
    names = {"0": "background", "1": "cat", "2": "dog", "3": "sofa"}
    (folder / "id2label.json").write_text(json.dumps(names))
    dataset = open_dataset(folder, "train")
    things = (False, True, True, False)
    assert dataset.labels == LabelSet(tuple(names.values()), things)
    assert widest_task(dataset) == "panoptic"
    objects = {
        (dataset.labels.names[label], bool(crowd)): int(dataset[1].mask(number).sum())
        for number, (label, crowd) in enumerate(
            zip(dataset[1].label_ids, dataset[1].crowds, strict=True), start=1
        )
    }
    cat, group, sofa = 16 * 16, 5 * 24, 28 * 24
    assert objects == {
        ("background", False): 48 * 64 - 2 * cat - group - sofa,
        ("cat", False): cat,
        ("cat", True): group,
        ("dog", False): cat,
        ("sofa", False): sofa,
    }
    named = open_dataset(folder, "train", format="semantic maps")
    assert widest_task(named) == "semantic"


OBJECTS = datasets.Features(
    {
        "image": datasets.Image(),
        "width": datasets.Value("int32"),
        "height": datasets.Value("int32"),
        "objects": datasets.List(
            {
                "category": datasets.ClassLabel(names=list(outlines.NAMES)),
                "segmentation": datasets.List(datasets.List(datasets.Value("float64"))),
                "bbox": datasets.List(datasets.Value("float64")),
            }
        ),
    }
)


def object_rows():
    images = outlines.IMAGES.values()
    return {
        "image": [encode_image(draw_photo(seed)) for seed in range(len(images))],
        "width": [64] * len(images),
        "height": [48] * len(images),
        "objects": [
            [
                {
                    "category": outlines.NAMES.index(label),
                    "segmentation": [outlines.flatten(polygon) for polygon in polygons],
                    "bbox": [0, 0, 10, 10],
                }
                for label, polygons in objects
            ]
            for objects in images
        ],
    }


def test_lists_of_objects_are_those_of_coco(tmp_path):
    folder = save_tables(tmp_path / "cats", {"train": object_rows()}, OBJECTS)
    coco = open_dataset(outlines.write_coco(tmp_path / "coco"), "train")
    order = sorted(range(5), key=lambda row: list(outlines.IMAGES)[row])
    dataset = open_dataset(folder)
    assert dataset.labels == coco.labels and "objects may overlap" in describe(dataset)
    for index, row in enumerate(order):
        ours, theirs = dataset[row], coco[index]
        assert (ours.front == theirs.front).all() and ours.label_ids.tolist() == (
            theirs.label_ids.tolist()
        )
    assert [len(open_dataset(folder, split)) for split in ("train", "val")] == [4, 1]


def test_objects_as_lists_of_their_fields_and_names_as_text(tmp_path):
    """Sequences of dictionaries are stored as lists of fields; categories may be names."""
    plain = object_rows()
    fields = [
        {
            "category": [outlines.NAMES[item["category"]] for item in items],
            "segmentation": [item["segmentation"] for item in items],
        }
        for items in plain["objects"]
    ]
    rows = {"image": plain["image"], "objects": fields}
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "objects": {
                "category": datasets.List(datasets.Value("string")),
                "segmentation": datasets.List(
                    datasets.List(datasets.List(datasets.Value("float64")))
                ),
            },
        }
    )
    folder = save_tables(tmp_path / "cats", {"train": rows}, features)
    dataset = open_dataset(folder)
    assert dataset.labels.names == ("cap", "cat", "background")
    listed = open_dataset(save_tables(tmp_path / "listed", {"train": object_rows()}, OBJECTS))
    assert (dataset[0].front == listed[0].front).all()
    assert dataset[0].label_ids.tolist() == [1, 0, 2] and listed[0].label_ids.tolist() == [0, 1, 2]


def test_instance_ids_round_trip_through_check_and_convert(tmp_path):
    drawn = [draw_discs(seed, count=12) for seed in range(6)]
    rows = {
        "image": [encode_image(image) for image, _ in drawn],
        "annotation": [encode_image(ids) for _, ids in drawn],
    }
    folder = save_tables(tmp_path / "cells", {"train": rows, "validation": rows})
    assert not [f for f in check(folder).findings if f.severe and "also in" not in f.message]
    written = convert(folder, tmp_path / "out", to="coco")
    assert written.images == {"train": 6, "val": 6}
    ours, converted = open_dataset(folder, "val"), open_dataset(tmp_path / "out", "val")
    assert (ours[2].image == converted[2].image).all()
    assert ours[2].id_maps.max() == converted[2].id_maps.max()
    with pytest.raises(SettingsError, match="omit --link"):
        convert(folder, tmp_path / "linked", to="coco", link=True)
    data = write_discs(tmp_path / "discs", {"train": 1, "val": 1})
    plain = open_dataset(data, "val")
    with open_image(plain, 0) as file:
        assert file.read() == plain.paths[0].read_bytes()


def test_rows_without_a_map_are_left_out_and_broken_cells_are_named(tmp_path):
    rows = semantic_rows(4)
    rows["annotation"][1] = None
    rows["annotation"][2] = encode_image(np.zeros((9, 9), np.uint8))
    rows["image"][3] = {"bytes": b"\x89PNG", "path": None}
    folder = save_tables(tmp_path / "broken", {"train": rows})
    dataset = open_dataset(folder)
    assert len(dataset) == 3 and "1 images have no map" in describe(dataset)
    with pytest.raises(DataError, match=r"annotation/000002.png is 9 x 9, but its image"):
        dataset[1]
    with pytest.raises(ImageError, match=r"train/image/000003.jpg is (damaged|not an image)"):
        dataset[2]


def test_tables_without_images_or_labels_are_one_line_errors(tmp_path, monkeypatch):
    features = datasets.Features({"text": datasets.Value("string")})
    folder = save_tables(tmp_path / "texts", {"train": {"text": ["a"]}}, features)
    with pytest.raises(DataError, match="no column of images, but text"):
        open_dataset(folder)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int32")})
    rows = {"image": [encode_image(draw_photo(0))], "label": [3]}
    with pytest.raises(DataError, match="no labels for segmentation among image, label"):
        open_dataset(save_tables(tmp_path / "classes", {"train": rows}, features))
    (folder / "train" / "state.json").write_text("{")
    with pytest.raises(DataError, match="cannot be opened as a Hugging Face dataset"):
        open_dataset(folder)
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"unimask\[datasets\]"):
        open_dataset(folder)


def test_hub_names_are_fetched_as_requested(tmp_path, monkeypatch):
    folder = save_tables(tmp_path / "streets", {"train": semantic_rows(5)})
    requests = []

    def load(name, configuration, revision):
        requests.append((name, configuration, revision))
        return datasets.load_from_disk(str(folder))

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(find, "download_class_tables", lambda name: [])
    monkeypatch.chdir(tmp_path)
    dataset = open_dataset("somebody/streets@v1:fine", "val")
    assert set(requests) == {("somebody/streets", "fine", "v1")} and len(dataset) == 1
    assert str(dataset.paths[0]) == "somebody/streets@v1:fine/train/image/000004.jpg"
    with pytest.raises(DataError, match="is not a folder"):
        open_dataset("nowhere")


def test_an_unreachable_hub_is_reported(monkeypatch, tmp_path):
    def load(name, configuration, revision):
        raise ConnectionError(f"Couldn't reach {name}\nand more")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(DataError, match=r"not a local folder.* cannot be opened .*Couldn't reach"):
        open_dataset("somebody/streets")


def test_saved_tables_whose_files_are_damaged_are_refused_in_one_line(tmp_path):
    """Arrow offsets point outside the file, or listed columns or splits do not exist."""
    folder = save_tables(tmp_path / "offsets", {"train": semantic_rows(2)})
    (arrow,) = (folder / "train").glob("*.arrow")
    content = arrow.read_bytes()
    first = content.index(semantic_rows(1)["image"][0]["bytes"])
    length = len(semantic_rows(1)["image"][0]["bytes"])
    position = content.rindex(length.to_bytes(4, "little"), 0, first)
    arrow.write_bytes(
        content[:position] + (2**31 - 1).to_bytes(4, "little") + content[position + 4 :]
    )
    with pytest.raises(DataError, match=r"cannot be opened as a Hugging Face dataset .*offset"):
        open_dataset(folder)
    empty = save_tables(tmp_path / "empty", {"train": semantic_rows(1)})
    (empty / "dataset_dict.json").write_text('{"splits": []}')
    with pytest.raises(DataError, match="without splits"):
        open_dataset(empty)


def test_a_cell_that_cannot_be_read_is_named():
    cells = mock.MagicMock()
    cells.select_columns.return_value.__getitem__.side_effect = KeyError(3)
    with pytest.raises(DataError, match=r"row 3 of column 'image' .* \(entry 3, .* is missing\)"):
        Column(cells, "image")[3]
