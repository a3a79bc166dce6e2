"""Folders of images and masks: recognised layouts and refusals."""

from shutil import copytree, rmtree

import numpy as np
import pytest
from conftest import draw_discs, write_discs
from PIL import Image

from unimask.datasets import open_dataset
from unimask.errors import DataError, ImageError


def one_folder(folder, ids, image=None, name="a.png"):
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((*ids.shape, 3), np.uint8) if image is None else image
    Image.fromarray(pixels).save(folder / "images" / name)
    Image.fromarray(ids).save(folder / "masks" / name)
    return folder


def open_ids(folder):
    return open_dataset(folder, format="instance ids")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_ids_of_any_depth_become_objects_in_order(tmp_path, dtype):
    name = "a.tif" if dtype == np.int32 else "a.png"
    ids = np.zeros((5, 6), dtype)
    ids[0, :2], ids[2, 3:], ids[4, 0] = 7, 3, 100
    sample = open_ids(one_folder(tmp_path, ids, name=name))[0]
    assert sample.label_ids.tolist() == [0, 0, 0, 1]
    assert sample.mask(1).sum() == 3 and sample.mask(2).sum() == 2 and sample.mask(3).sum() == 1
    assert sample.mask(4).sum() == 30 - 6
    assert not sample.crowds.any() and sample.ignored is None


def test_more_objects_than_eight_bits_can_number(tmp_path):
    ids = np.arange(1, 601, dtype=np.uint16).reshape(20, 30)
    sample = open_dataset(one_folder(tmp_path, ids))[0]
    assert len(sample.label_ids) == 600 and sample.label_ids.sum() == 0


def test_names_come_from_the_caller_the_file_or_neither(tmp_path):
    folder = one_folder(tmp_path, np.ones((4, 4), np.uint8))
    assert open_ids(folder).labels.names == ("object", "background")
    (folder / "labels.json").write_text('{"thing": "cell", "stuff": "ground"}')
    assert open_dataset(folder).labels.names == ("cell", "ground")
    assert open_dataset(folder, names=("a", "b")).labels.names == ("a", "b")
    assert open_dataset(folder).labels.is_thing == (True, False)
    (folder / "labels.json").write_text('["cell"]')
    with pytest.raises(DataError, match=r"labels\.json"):
        open_ids(folder)


def test_splits_are_folders_or_every_fifth_image(tmp_path):
    data = write_discs(tmp_path / "split", {"train": 3, "val": 2})
    assert len(open_dataset(data, "train")) == 3 and len(open_dataset(data, "val")) == 2
    whole = data / "train"
    for index in range(3, 11):
        image, ids = draw_discs(index)
        one_folder(whole, ids, image, f"{index:02}.png")
    training, validation = open_dataset(whole, "train"), open_dataset(whole, "val")
    assert len(training) == 9 and len(validation) == 2
    assert not set(training.paths) & set(validation.paths)
    assert validation[0].path == validation.paths[0]
    with pytest.raises(DataError, match="no split 'test'"):
        open_dataset(whole, "test")


def test_splits_are_found_by_common_names_or_their_own(tmp_path):
    data = write_discs(tmp_path / "discs", {"training": 6, "valid": 2, "day3": 1})
    counts = [len(open_dataset(data, split)) for split in (None, "train", "val", "day3")]
    assert counts == [6, 6, 2, 1]
    rmtree(data / "valid")
    assert [len(open_dataset(data, split)) for split in ("train", "val")] == [5, 1]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("export.zip", "unpack the archive and pass its folder"),
        ("data.tar.gz", "unpack the archive and pass its folder"),
        ("data.yaml", "pass the folder that holds the dataset, such as {folder}"),
        ("annotations.json", "pass the folder that holds the dataset, such as {folder}"),
    ],
)
def test_a_file_instead_of_a_folder_is_refused_with_a_suggestion(tmp_path, name, advice):
    """Other tools take a YAML file or an archive as the dataset."""
    (tmp_path / name).write_text("names: [cat]")
    with pytest.raises(DataError) as failed:
        open_dataset(tmp_path / name)
    assert str(failed.value).endswith(advice.format(folder=tmp_path))


def test_missing_paths_are_named(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(
        DataError, match=r"expected images/ \+ masks/ .*, or the layout of .*LabelMe"
    ):
        open_dataset(tmp_path)
    folder = one_folder(tmp_path / "a", np.ones((4, 4), np.uint8))
    Image.new("RGB", (4, 4)).save(folder / "images" / "b.png")
    assert "1 images have no map: left out" in open_ids(folder).info.notes


def test_invalid_masks_are_named(tmp_path):
    folder = one_folder(tmp_path / "size", np.ones((4, 4), np.uint8))
    Image.fromarray(np.ones((5, 4), np.uint8)).save(folder / "masks" / "a.png")
    with pytest.raises(DataError, match=r"a\.png is 5 x 4, but its image a\.png is 4 x 4"):
        open_ids(folder)[0]
    Image.new("RGB", (4, 4), "red").save(folder / "masks" / "a.png")
    with pytest.raises(DataError, match="one channel"):
        open_ids(folder)[0]
    (folder / "masks" / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read as a mask"):
        open_ids(folder)[0]
    (folder / "images" / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match="0 bytes"):
        open_ids(folder)[0]


def test_real_panoptic_photographs(real_data):
    dataset = open_dataset(real_data / "coco_open")
    assert len(dataset) == 26 and len(dataset.labels) == 133
    assert sum(dataset.labels.is_thing) == 80
    sample = dataset[0]
    assert sample.id_maps.max() == len(sample.label_ids)


def test_real_nuclei(real_data):
    dataset = open_dataset(real_data / "nuclei", "val")
    assert len(dataset) == 68
    counts = [int((dataset[index].label_ids == 0).sum()) for index in range(5)]
    assert min(counts) >= 1


def test_results_inside_a_dataset_are_not_its_images(discs, tmp_path):
    data = tmp_path / "data"
    copytree(discs, data)
    results = data / "val" / "images" / "out"
    copytree(data / "val" / "images", results)
    (results / "unimask.json").write_text('{"unimask": "1", "files": {}}')
    assert len(open_dataset(data, "val")) == len(open_dataset(discs, "val"))
