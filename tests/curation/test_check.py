"""Datasets looked over: what is counted, and what is told."""

import shutil

import numpy as np
import outlines
import pytest
from conftest import write_discs
from PIL import Image

from unimask.curation import check
from unimask.curation.board import draw_board
from unimask.datasets import check_classes, open_dataset
from unimask.datasets.describe import difference
from unimask.errors import DataError
from unimask.labels import LabelSet


def told(report):
    return {finding.told: finding for finding in report.findings}


def test_a_sound_dataset_is_counted_to_the_pixel(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 2})
    report = check(data)
    assert report.sound and [s.name for s in report.surveys] == ["train", "val"]
    ids = [np.asarray(Image.open(data / "train" / "masks" / f"{i}.png")) for i in range(3)]
    train = report.surveys[0]
    assert train.objects.tolist() == [sum(len(np.unique(m)) - 1 for m in ids), 3]
    assert train.areas.tolist() == [sum(f(m) for m in ids) for f in (np.count_nonzero, zeros)]
    assert train.shown.tolist() == [3, 3] and train.pixels == 3 * 96 * 128
    assert train.most_things[0] == max(len(np.unique(m)) - 1 for m in ids)
    plain = report.to_dict()["splits"]["train"]
    assert plain["largest"] == [96, 128] and plain["classes"][0]["name"] == "object"


def zeros(mask):
    return int((mask == 0).sum())


def test_splits_made_by_rule_are_looked_at_too(tmp_path):
    whole = write_discs(tmp_path / "discs", {"train": 6}) / "train"
    assert [s.pictures for s in check(whole).surveys] == [5, 1]
    few = write_discs(tmp_path / "few", {"train": 2}) / "train"
    assert [(s.name, s.pictures) for s in check(few).surveys] == [("all", 2)]
    assert [s.name for s in check(whole, split="val").surveys] == ["val"]


def test_corrupt_files_and_sizes_that_differ_are_all_named(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 4, "val": 1})
    (data / "train" / "images" / "0.png").write_bytes(b"\x89PNG")
    Image.fromarray(np.ones((3, 3), np.uint8)).save(data / "train" / "masks" / "2.png")
    report = check(data)
    (finding,) = [f for f in report.findings if f.severe]
    assert finding.told == "train: 2 pictures cannot be read"
    assert "0.png" in finding.files[0] and "2.png is 3 x 3" in finding.files[1]
    assert not report.sound and len(report.surveys[0].sizes) == 2


def test_leaks_between_splits_are_found_by_pixels(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 2, "val": 2})
    picture = Image.open(data / "train" / "images" / "1.png")
    picture.save(data / "val" / "images" / "1.png", compress_level=1)
    shutil.copy(data / "train" / "masks" / "1.png", data / "val" / "masks" / "1.png")
    report = check(data)
    (finding,) = [f for f in report.findings if f.severe]
    assert finding.told.startswith("1 picture of val also in train")
    assert "train/images/1.png" in finding.files[0] and "val/images/1.png" in finding.files[0]
    shutil.rmtree(data / "val")
    for kind in ("images", "masks"):
        shutil.copy(data / "train" / kind / "1.png", data / "train" / kind / "7.png")
    assert "all: 1 picture more than once" in told(check(data / "train"))


def test_more_objects_than_queries_is_severe(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 2, "val": 1}, objects=9)
    report = check(data, queries=3)
    assert not report.sound
    severe = [finding.told for finding in report.findings if finding.severe]
    assert severe[0].startswith("train: 2 pictures with more objects than 3 queries, at most")
    assert check(data, queries=9).sound and not check(data, queries=9).findings
    many = write_discs(tmp_path / "many", {"train": 1}, objects=9)
    assert check(many).sound, "without a limit, weights can have more queries"


def test_pictures_without_objects_are_kept_and_told(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 1})
    Image.fromarray(np.zeros((96, 128), np.uint8)).save(data / "train" / "masks" / "2.png")
    report = check(data)
    assert report.sound
    text = "train: 1 picture without objects; they are kept, and teach what is none"
    assert told(report)[text].files == (str(data / "train" / "images" / "2.png"),)


def test_classes_that_training_never_shows_are_severe(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 2, "val": 1})
    for index in range(2):
        Image.fromarray(np.zeros((96, 128), np.uint8)).save(data / f"train/masks/{index}.png")
    severe = [finding.told for finding in check(data).findings if finding.severe]
    assert severe == ["val has 1 class that train never shows: object; split anew"]


def coco_splits(folder, train, val):
    """Write COCO JSONs, each of which has categories of its own."""
    for split, names in (("train", train), ("val", val)):
        pictures = {
            picture: [(label, polygons) for label, polygons in objects if label in names]
            for picture, objects in outlines.PICTURES.items()
        }
        content = outlines.coco_content(pictures, names)
        outlines.write_json(folder / "annotations" / f"instances_{split}.json", content)
        for name in pictures:
            outlines.draw(folder / split, name)
    return folder


@pytest.mark.parametrize(
    "val, told",
    [
        (("cap",), "train and val differ in their classes: only train has cat; list"),
        (("cap", "cat"), "differ in their classes: cat is class 0 in train, 1 in val; list"),
    ],
)
def test_splits_of_other_classes_are_severe_and_nothing_to_learn_from(tmp_path, val, told):
    """Each COCO JSON numbers its own categories, so that one label id may mean two classes."""
    data = coco_splits(tmp_path / "apart", ("cat", "cap"), val)
    severe = [finding.told for finding in check(data).findings if finding.severe]
    assert any(told in line for line in severe)
    with pytest.raises(DataError, match="differ in their classes"):
        check_classes(open_dataset(data, "train"), open_dataset(data, "val"))
    alike = coco_splits(tmp_path / "alike", ("cat", "cap"), ("cat", "cap"))
    check_classes(open_dataset(alike, "train"), open_dataset(alike, "val"))


def test_how_label_sets_differ_is_said_by_name():
    ours = LabelSet(("road", "car", "tram"), (False, True, True))
    theirs = LabelSet(("road", "car", "bus"), (False, False, True))
    assert difference(ours, theirs, "a", "b") == (
        "only a has tram; only b has bus; car is thing in a, stuff in b"
    )
    assert difference(ours, ours, "a", "b") == ""


def test_no_dataset_is_said(tmp_path):
    with pytest.raises(DataError, match="holds no dataset"):
        check(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        check(tmp_path / "nowhere")


def test_every_picture_is_told_as_it_is_done(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 1})
    seen = []
    check(data, progress=lambda *step: seen.append(step))
    assert seen == [("train", 1, 3), ("train", 2, 3), ("train", 3, 3), ("val", 1, 1)]


def test_the_board_passes_over_what_cannot_be_read(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 5})
    (data / "train" / "images" / "0.png").write_bytes(b"")
    dataset = open_dataset(data / "train")
    assert draw_board(dataset, tmp_path / "board.png") == 4
    board = np.asarray(Image.open(tmp_path / "board.png"))
    assert board.shape[1] == 4 * 420 + 3 * 6 and board.std() > 10
    for path in (data / "train" / "images").iterdir():
        path.write_bytes(b"")
    assert draw_board(dataset, tmp_path / "none.png") == 0 and not (tmp_path / "none.png").exists()
