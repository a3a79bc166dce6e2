"""YOLO segmentation of different tools, with and without a YAML."""

import time

import numpy as np
import pytest
from outlines import SIZE, draw, write_plain_yolo, write_yolo, write_yolo_of_roboflow
from PIL import Image

from unimask.datasets import open_dataset, split_names
from unimask.datasets.interface import DatasetOptions, dataset_info
from unimask.errors import DataError, SettingsError

coco = pytest.importorskip("pycocotools.mask")


@pytest.mark.parametrize("write", [write_yolo, write_yolo_of_roboflow])
def test_paths_of_another_machine_are_found_beside_the_yaml(tmp_path, write):
    dataset = open_dataset(write(tmp_path / "data"), "val")
    assert dataset.labels.names == ("cat", "cap", "background") and len(dataset) == 5
    assert [len(sample.label_ids) for sample in dataset] == [3, 2, 3, 2, 1]


def test_lists_of_images_and_several_folders(tmp_path):
    data = write_yolo(tmp_path / "data")
    (data / "train.txt").write_text("./images/train/a.png\n/elsewhere/images/train/b.png\n")
    text = "train: train.txt\nval: [images/val, images/train]\nnames: [cat, cap]"
    (data / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=r"train\.txt names '/elsewhere/.*1 of 2 images"):
        open_dataset(data, "train")
    (data / "train.txt").write_text("./images/train/a.png\n./images/train/b.png\n")
    assert len(open_dataset(data, "train")) == 2 and len(open_dataset(data, "val")) == 10


def test_without_yaml_class_names_are_required(tmp_path):
    data = write_plain_yolo(tmp_path)
    assert open_dataset(data).labels.names == ("cat", "cap", "background")
    assert open_dataset(data, names=("a", "b")).labels.names == ("a", "b", "background")
    (data / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"nothing names their classes: add a data\.yaml"):
        open_dataset(data)


def test_shares_are_relative_to_the_visible_image(tmp_path):
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
        ("0 0.5 0.5 0.2", "line 2 is not a class followed by"),
        ("0 0.1 0.1 0.2 0.1 0.2", "line 2 is not a class followed by"),
        ("2 0.1 0.1 0.2 0.1 0.2 0.2", "line 2 is of class 2, but 2 are named"),
        ("cat 0.1 0.1 0.2 0.1 0.2 0.2", "line 2 has 'cat' where a number should be"),
        ("0 nan 0.1 0.2 0.1 0.2 0.2", "line 2 has coordinates"),
        ("0 120 9 300 9 300 70", "line 2 has coordinates that are not relative"),
        ("0 0.1 0.1 1.2 0.1 0.2 0.2", r"line 2 reaches \(76\.\d+, 4\.\d+\)"),
    ],
)
def test_invalid_lines_are_named(tmp_path, line, reason):
    data = write_plain_yolo(tmp_path)
    (data / "labels" / "a.txt").write_text("0 0.1 0.1 0.2 0.1 0.2 0.2\n" + line)
    with pytest.raises(DataError, match=reason):
        open_dataset(data)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train: images/gone\nnames: [cat, cap]", "names 'images/gone', which does not exist"),
        ("train: labels\nnames: [cat, cap]", "train is 'labels', which contains no images"),
        ("train: images/train\nnames: {0: cat, 2: cap}", "number them from 0 on"),
        ("train: images/train\nnames: 3", "names should list the classes"),
        ("train: images/train\nnames: [", "cannot be read as YAML"),
    ],
)
def test_invalid_yamls_are_refused(tmp_path, text, reason):
    data = write_yolo(tmp_path / "data")
    (data / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=reason):
        open_dataset(data, "train")


def test_missing_labels_are_reported(tmp_path):
    draw(tmp_path / "images", "a.png")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat]")
    with pytest.raises(DataError, match=r"a\.txt is missing, and so are all other labels"):
        open_dataset(tmp_path)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("")
    assert np.array_equal(open_dataset(tmp_path)[0].label_ids, [1])


def notes(dataset):
    return dataset_info(dataset).notes


def test_lines_that_are_boxes_beside_outlines_are_ignored_and_counted(tmp_path):
    """Elsewhere one box makes a dataset a detection dataset, and all outlines are dropped."""
    data = write_plain_yolo(tmp_path)
    (data / "labels" / "a.txt").write_text("0 0 0 0.5 0 0.5 0.5 0 0.5\n1 0.75 0.75 0.25 0.5\n")
    dataset = open_dataset(data)
    sample = dataset[0]
    assert sample.crowds.tolist() == [False, True, False]
    assert sample.mask(1).sum() == 24 * 32 and sample.mask(2).sum() == 24 * 16
    assert "1 objects are boxes without outline" in notes(dataset)
    assert "a.txt: line 2): ignored" in notes(dataset)


def test_boxes_alone_are_refused(tmp_path):
    data = write_plain_yolo(tmp_path)
    for file in (data / "labels").iterdir():
        file.write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(DataError, match=r"a\.txt: line 1 is a box, .*export as YOLO segmentation"):
        open_dataset(data)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_not_part_of_the_first_class(tmp_path, encoding):
    data = write_yolo(tmp_path / "data")
    for file in [data / "data.yaml", *data.glob("labels/*/*.txt")]:
        file.write_bytes(file.read_text().encode(encoding))
    dataset = open_dataset(data, "val")
    assert dataset.labels.names == ("cat", "cap", "background")
    assert [len(sample.label_ids) for sample in dataset] == [3, 2, 3, 2, 1]


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("caf\u00e9.png", "cafe\u0301.txt"),
        ("my cup.png", "my%20cup.txt"),
        ("CUP.PNG", "cup.txt"),
        ("cup.v1.png", "cup.v1.TXT"),
    ],
)
def test_labels_with_differently_written_names_are_found(tmp_path, image, label):
    """Elsewhere the image silently counts as one without objects."""
    data = write_plain_yolo(tmp_path)
    Image.new("RGB", SIZE[::-1]).save(data / "images" / image)
    (data / "labels" / label).write_text("0 0 0 0.5 0 0.5 0.5 0 0.5")
    found = {sample.path.name: sample.label_ids.tolist() for sample in open_dataset(data)}
    assert found[image] == [0, 2]


def test_labels_without_an_image_are_counted(tmp_path):
    data = write_plain_yolo(tmp_path)
    (data / "labels" / "gone.txt").write_text("0 0 0 0.5 0 0.5 0.5 0 0.5")
    assert "1 label files have no image" in notes(open_dataset(data))
    assert "label files" not in notes(open_dataset(write_yolo(tmp_path / "data"), "train"))


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB + "train: images/train\nnames: *i\n", "its aliases stand for more than"),
        ("train: images/train\nnames: " + "[" * 5000, "cannot be read as YAML"),
        (f"train: {'x' * 100_000}\nnames: [cat, cap]", r"names 'x{79}\.\.\., which does not exist"),
        ('train: "a\\0b"\nnames: [cat, cap]', "which does not exist"),
        ("train: images/train\nnc: 3\nnames: [cat, cap]", "nc is 3, but 2 names are listed"),
        ("train: images/train\nnc: 3\nnames: &n [*n]", "nc is 3, but 1 names are listed"),
        ("train: !!timestamp 2001-99-99x\nnames: [cat, cap]", "cannot be read as YAML"),
        ("train:\nnames: [cat, cap]", "train is None, which contains no images"),
    ],
)
def test_a_hostile_yaml_is_one_line_at_once(tmp_path, text, reason):
    data = write_yolo(tmp_path / "data")
    (data / "data.yaml").write_text(text)
    begin = time.perf_counter()
    with pytest.raises(DataError, match=reason) as caught:
        open_dataset(data, "train")
    assert time.perf_counter() - begin < 10 and len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("val: images/val\ntest:\n", "test of data.yaml is empty: left out"),
        (
            "val: images/val\ntest: images/test\n",
            "test of data.yaml is 'images/test', which does not exist",
        ),
        ("val: images/val\ntest: ''\n", "test of data.yaml is empty: left out"),
    ],
)
def test_missing_test_splits_are_left_out(tmp_path, rest, message):
    """YAMLs of Ultralytics and Roboflow list a test split even if it was not exported."""
    data = write_yolo(tmp_path / "data")
    (data / "data.yaml").write_text(f"train: images/train\n{rest}names: [cat, cap]\n")
    assert split_names(data, DatasetOptions()) == ("train", "val")
    dataset = open_dataset(data, "val")
    assert len(dataset) == 5 and message in notes(dataset)


@pytest.mark.parametrize("val", ["val:\n", "val: []\n", "val: nowhere\n", ""])
def test_without_a_validation_split_images_are_set_aside(tmp_path, val):
    data = write_yolo(tmp_path / "data")
    (data / "data.yaml").write_text(f"train: images/train\n{val}names: [cat, cap]\n")
    assert [len(open_dataset(data, split)) for split in ("train", "val")] == [4, 1]


def test_too_few_names_for_the_yaml_are_an_error(tmp_path):
    data = write_yolo(tmp_path / "data")
    assert open_dataset(data, "val", names=("a", "b")).labels.names == ("a", "b", "background")
    with pytest.raises(SettingsError, match=r"--names has 1 names, but .*data\.yaml has 2"):
        open_dataset(data, "val", names=("a",))


def test_unnamed_classes_are_numbered(tmp_path):
    data = write_yolo(tmp_path / "data")
    (data / "data.yaml").write_text("train: images/train\nval: images/val\nnc: 2\n")
    assert open_dataset(data, "val").labels.names == ("class 0", "class 1", "background")


def test_images_beside_their_labels_are_found(tmp_path):
    data = write_plain_yolo(tmp_path)
    for file in [*(data / "images").iterdir(), *(data / "labels").iterdir()]:
        file.rename(data / file.name)
    for name in ("images", "labels"):
        (data / name).rmdir()
    assert [len(sample.label_ids) for sample in open_dataset(data)] == [3, 2, 3, 2, 1]


def test_classes_called_ignore_are_neither_object_nor_background(tmp_path):
    (tmp_path / "labels").mkdir()
    draw(tmp_path / "images", "a.png")
    boxes = ((0, "0 0 0.5 0 0.5 0.5 0 0.5"), (1, "0.5 0 1 0 1 0.5 0.5 0.5"))
    (tmp_path / "labels" / "a.txt").write_text("".join(f"{c} {box}\n" for c, box in boxes))
    (tmp_path / "classes.txt").write_text("__ignore__\ncat\n")
    dataset = open_dataset(tmp_path)
    assert dataset.labels.names == ("cat", "background")
    sample = dataset[0]
    assert sample.label_ids.tolist() == [0, 1] and sample.mask(1).sum() == 32 * 24
    assert sample.ignored[:24, :32].all() and sample.ignored.sum() == 32 * 24


WRONG_NUMBERS = {
    "decimal commas": ("0 0,1 0,1 0,2 0,1 0,2 0,2", "line 1 has '0,1' where a number should be"),
    "semicolons": ("0;0.1;0.1;0.2;0.1;0.2;0.2", "line 1 has '0;0.1;0.1;0.2;0.1;0.2;0.2' where"),
    "a class below 0": ("-1 0.1 0.1 0.2 0.1 0.2 0.2", "line 1 is of class -1, but 2 are named"),
    "a class of a fraction": ("0.5 0.1 0.1 0.2 0.1 0.2 0.2", r"line 1 is of class 0\.5"),
}


@pytest.mark.parametrize("write", [write_yolo, write_plain_yolo], ids=["YAML", "no YAML"])
@pytest.mark.parametrize("case", WRONG_NUMBERS)
def test_numbers_in_another_notation_are_named_with_file_and_line(tmp_path, case, write):
    """Elsewhere a folder without YAML "contains no dataset in a known format"."""
    line, reason = WRONG_NUMBERS[case]
    data = write(tmp_path / "data")
    for file in (data / "labels").rglob("*.txt"):
        file.write_text(line)
    with pytest.raises(DataError, match=rf"a\.txt: {reason}"):
        open_dataset(data)


def test_long_lines_are_recognised_in_linear_time(tmp_path):
    data = write_plain_yolo(tmp_path)
    start = time.perf_counter()
    for file in (data / "labels").glob("*.txt"):
        file.write_text("1" * 300_000 + "," + "1" * 300_000 + "x 1,1" * 100_000)
    with pytest.raises(DataError):
        open_dataset(data)
    assert time.perf_counter() - start < 5
