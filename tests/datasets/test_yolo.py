"""YOLO segmentation: written here or elsewhere, with and without a YAML."""

import numpy as np
import pytest
from outlines import SIZE, draw, write_plain_yolo, write_yolo, write_yolo_of_roboflow
from PIL import Image

from unimask.datasets import open_dataset
from unimask.errors import DataError

coco = pytest.importorskip("pycocotools.mask")


@pytest.mark.parametrize("write", [write_yolo, write_yolo_of_roboflow])
def test_paths_of_another_machine_are_found_beside_the_yaml(tmp_path, write):
    dataset = open_dataset(write(tmp_path / "data"), "val")
    assert dataset.labels.names == ("cat", "cap", "background") and len(dataset) == 5
    assert [len(sample.label_ids) for sample in dataset] == [3, 2, 3, 2, 1]


def test_lists_of_pictures_and_several_folders(tmp_path):
    data = write_yolo(tmp_path / "data")
    (data / "train.txt").write_text("./images/train/a.png\n/elsewhere/images/train/b.png\n")
    text = "train: train.txt\nval: [images/val, images/train]\nnames: [cat, cap]"
    (data / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=r"train\.txt names '/elsewhere/.*1 of 2 pictures"):
        open_dataset(data, "train")
    (data / "train.txt").write_text("./images/train/a.png\n./images/train/b.png\n")
    assert len(open_dataset(data, "train")) == 2 and len(open_dataset(data, "val")) == 10


def test_without_yaml_somebody_names_the_classes(tmp_path):
    data = write_plain_yolo(tmp_path)
    assert open_dataset(data).labels.names == ("cat", "cap", "background")
    assert open_dataset(data, names=("a", "b")).labels.names == ("a", "b", "background")
    (data / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"nothing names their classes: add a data\.yaml"):
        open_dataset(data)


def test_shares_count_from_the_picture_as_it_is_seen(tmp_path):
    data = write_plain_yolo(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE[::-1]).save(data / "images" / "turned.jpg", exif=exif)
    Image.new("RGB", SIZE[::-1]).save(data / "images" / "upright.jpg")
    for name in ("turned", "upright"):
        (data / "labels" / f"{name}.txt").write_text("0 0 0 0.5 0 0.5 0.5 0 0.5")
    masks = {sample.path.stem: sample.mask(1) for sample in open_dataset(data)}
    assert masks["turned"].shape == SIZE[::-1] and masks["upright"].shape == SIZE
    assert masks["turned"][:32, :24].all() and masks["turned"].sum() == SIZE[0] * SIZE[1] / 4


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0.2 0.2", r"a\.txt: line 2 is a box, .*export as YOLO segmentation"),
        ("0 0.5 0.5 0.2", "line 2 is no class followed by"),
        ("0 0.1 0.1 0.2 0.1 0.2", "line 2 is no class followed by"),
        ("2 0.1 0.1 0.2 0.1 0.2 0.2", "line 2 is of class 2, but 2 are named"),
        ("cat 0.1 0.1 0.2 0.1 0.2 0.2", "line 2 holds more than numbers"),
        ("0 nan 0.1 0.2 0.1 0.2 0.2", "line 2 has coordinates"),
        ("0 120 9 300 9 300 70", "line 2 has coordinates that are no shares"),
        ("0 0.1 0.1 1.2 0.1 0.2 0.2", r"line 2 reaches \(76\.\d+, 4\.\d+\)"),
    ],
)
def test_lines_that_are_no_objects_are_named(tmp_path, line, reason):
    data = write_plain_yolo(tmp_path)
    (data / "labels" / "a.txt").write_text("0 0.1 0.1 0.2 0.1 0.2 0.2\n" + line)
    with pytest.raises(DataError, match=reason):
        open_dataset(data)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train: images/gone\nnames: [cat, cap]", "names 'images/gone', which is not there"),
        ("train: labels\nnames: [cat, cap]", "train is labels, where no pictures are"),
        ("train: images/train\nnames: {0: cat, 2: cap}", "number them from 0 on"),
        ("train: images/train\nnames: 3", "names should list the classes"),
        ("train: images/train\nnames: [", "cannot be read as YAML"),
    ],
)
def test_a_yaml_that_cannot_be_is_refused(tmp_path, text, reason):
    data = write_yolo(tmp_path / "data")
    (data / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=reason):
        open_dataset(data, "train")


def test_labels_that_are_nowhere_are_told(tmp_path):
    draw(tmp_path / "images", "a.png")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat]")
    with pytest.raises(DataError, match=r"a\.txt is missing, and so are all other labels"):
        open_dataset(tmp_path)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("")
    assert np.array_equal(open_dataset(tmp_path)[0].label_ids, [1])
