"""Checking datasets: counts and findings."""

import shutil

import numpy as np
import outlines
import pytest
from conftest import write_discs
from PIL import Image
from tiles import write_tiles

from unimask.curation import check
from unimask.curation.board import draw_board
from unimask.datasets import check_classes, check_supervision, open_dataset, open_train_and_val
from unimask.datasets.describe import describe_difference
from unimask.errors import DataError
from unimask.labels import LabelSet


def findings_by_message(report):
    return {finding.message: finding for finding in report.findings}


def test_an_intact_dataset_is_counted_to_the_pixel(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 2})
    report = check(data)
    assert report.passed and [s.name for s in report.surveys] == ["train", "val"]
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


def test_automatic_splits_are_checked_too(tmp_path):
    whole = write_discs(tmp_path / "discs", {"train": 6}) / "train"
    assert [s.images for s in check(whole).surveys] == [5, 1]
    few = write_discs(tmp_path / "few", {"train": 2}) / "train"
    assert [(s.name, s.images) for s in check(few).surveys] == [("all", 2)]
    assert [s.name for s in check(whole, split="val").surveys] == ["val"]


def test_corrupt_files_and_sizes_that_differ_are_all_named(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 4, "val": 1})
    (data / "train" / "images" / "0.png").write_bytes(b"\x89PNG")
    Image.fromarray(np.ones((3, 3), np.uint8)).save(data / "train" / "masks" / "2.png")
    report = check(data)
    (finding,) = [f for f in report.findings if f.severe]
    assert finding.message == "train: 2 images cannot be read"
    assert "0.png" in finding.files[0] and "2.png is 3 x 3" in finding.files[1]
    assert not report.passed and len(report.surveys[0].sizes) == 2


def test_leaks_between_splits_are_found_by_pixels(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 2, "val": 2})
    image = Image.open(data / "train" / "images" / "1.png")
    image.save(data / "val" / "images" / "1.png", compress_level=1)
    shutil.copy(data / "train" / "masks" / "1.png", data / "val" / "masks" / "1.png")
    report = check(data)
    (finding,) = [f for f in report.findings if f.severe]
    assert finding.message.startswith("1 image of val also in train")
    assert "train/images/1.png" in finding.files[0] and "val/images/1.png" in finding.files[0]
    shutil.rmtree(data / "val")
    for kind in ("images", "masks"):
        shutil.copy(data / "train" / kind / "1.png", data / "train" / kind / "7.png")
    assert "all: 1 image more than once" in findings_by_message(check(data / "train"))


def test_more_objects_than_queries_is_severe(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 2, "val": 1}, objects=9)
    report = check(data, queries=3)
    assert not report.passed
    severe = [finding.message for finding in report.findings if finding.severe]
    assert severe[0].startswith("train: 2 images with more objects than 3 queries, at most")
    assert check(data, queries=9).passed and not check(data, queries=9).findings
    many = write_discs(tmp_path / "many", {"train": 1}, objects=9)
    assert check(many).passed, "without a limit, weights can have more queries"


def test_images_without_objects_are_kept_and_reported(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 1})
    Image.fromarray(np.zeros((96, 128), np.uint8)).save(data / "train" / "masks" / "2.png")
    report = check(data)
    assert report.passed
    text = "train: 1 image without objects; they are kept as background examples"
    assert findings_by_message(report)[text].files == (str(data / "train" / "images" / "2.png"),)


def test_classes_that_training_never_shows_are_severe(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 2, "val": 1})
    for index in range(2):
        Image.fromarray(np.zeros((96, 128), np.uint8)).save(data / f"train/masks/{index}.png")
    severe = [finding.message for finding in check(data).findings if finding.severe]
    assert "val has 1 class that train does not contain: object; split the data again" in severe
    assert [line for line in severe if "has nothing to learn for instance" in line]


def coco_splits(folder, train, val):
    """Write a COCO JSON per split, with different categories."""
    for split, names in (("train", train), ("val", val)):
        images = {
            image: [(label, polygons) for label, polygons in objects if label in names]
            for image, objects in outlines.IMAGES.items()
        }
        content = outlines.coco_content(images, names)
        outlines.write_json(folder / "annotations" / f"instances_{split}.json", content)
        for name in images:
            outlines.draw(folder / split, name)
    return folder


@pytest.mark.parametrize(
    "val, message",
    [
        (("cap",), "train and val differ in their classes: only train has cat; list"),
        (("cap", "cat"), "differ in their classes: cat is class 0 in train, 1 in val; list"),
    ],
)
def test_splits_of_other_classes_are_severe_findings_and_not_trained_on(tmp_path, val, message):
    """Each COCO JSON numbers its own categories, so that a label id may mean two classes."""
    data = coco_splits(tmp_path / "apart", ("cat", "cap"), val)
    severe = [finding.message for finding in check(data).findings if finding.severe]
    assert any(message in line for line in severe)
    with pytest.raises(DataError, match="differ in their classes"):
        check_classes(open_dataset(data, "train"), open_dataset(data, "val"))
    equal = coco_splits(tmp_path / "alike", ("cat", "cap"), ("cat", "cap"))
    check_classes(open_dataset(equal, "train"), open_dataset(equal, "val"))


def test_differences_of_label_sets_are_named():
    ours = LabelSet(("road", "car", "tram"), (False, True, True))
    theirs = LabelSet(("road", "car", "bus"), (False, False, True))
    assert describe_difference(ours, theirs, "a", "b") == (
        "only a has tram; only b has bus; car is thing in a, stuff in b"
    )
    assert describe_difference(ours, ours, "a", "b") == ""


def test_a_missing_dataset_is_reported(tmp_path):
    with pytest.raises(DataError, match="contains no dataset"):
        check(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        check(tmp_path / "nowhere")


def test_progress_is_reported_after_every_image(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 1})
    steps = []
    check(data, progress=lambda *step: steps.append(step))
    assert steps == [("train", 1, 3), ("train", 2, 3), ("train", 3, 3), ("val", 1, 1)]


def test_the_preview_skips_unreadable_images(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 5})
    (data / "train" / "images" / "0.png").write_bytes(b"")
    dataset = open_dataset(data / "train")
    assert draw_board(dataset, tmp_path / "board.png") == 4
    board = np.asarray(Image.open(tmp_path / "board.png"))
    assert board.shape[1] == 4 * 420 + 3 * 6 and board.std() > 10
    for path in (data / "train" / "images").iterdir():
        path.write_bytes(b"")
    assert draw_board(dataset, tmp_path / "none.png") == 0 and not (tmp_path / "none.png").exists()


def one_json(folder, change=lambda content: None):
    """Write a COCO JSON of eight images, changed, with its images."""
    shapes = [("cat", [outlines.SQUARE]), ("cap", [outlines.INSIDE])]
    images = {f"{index}.png": shapes for index in range(8)}
    content = outlines.coco_content(images)
    change(content)
    outlines.write_json(folder / "labels.json", content)
    for index, name in enumerate(images):
        noise = np.random.default_rng(index).integers(0, 256, (*outlines.SIZE, 3), np.uint8)
        Image.fromarray(noise).save(folder / name)
    return folder


def change_all(**changes):
    return lambda content: [annotation.update(changes) for annotation in content["annotations"]]


def severe_lines(folder):
    return [finding.message for finding in check(folder).findings if finding.severe]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_all(iscrowd=1), "(14 crowds: some tools export brush masks with iscrowd 1"),
        (lambda content: content["annotations"].clear(), "no object of a thing class has a pixel"),
        (change_all(segmentation=[[1, 1, 1, 1, 1, 1]]), "no object of a thing class has a pixel"),
    ],
    ids=["crowds", "no annotations", "no area"],
)
def test_useless_labels_are_severe_findings_and_not_trained_on(tmp_path, change, message):
    """Elsewhere a run of hours ends with a network that finds nothing, without a message."""
    data = one_json(tmp_path, change)
    lines = severe_lines(data)
    assert [line for line in lines if "train has nothing to learn for instance: no" in line]
    assert all(message in line for line in lines if message[0] == "(" or "for instance" in line)
    assert [line for line in lines if "for semantic, panoptic: all labelled pixels are" in line]
    if message[0] == "(":
        for task, reason in (("instance", "no object of a thing"), ("panoptic", "all labelled")):
            with pytest.raises(DataError, match=f"has nothing to learn for {task}: {reason}"):
                check_supervision(open_dataset(data, "train"), (task,))
        with pytest.raises(DataError, match="nothing to learn for semantic, instance, panoptic: "):
            open_train_and_val(data)
    check_supervision(open_dataset(one_json(tmp_path / "sound"), "train"), ("panoptic", "instance"))


@pytest.mark.parametrize(
    "change",
    [
        change_all(segmentation=[]),
        change_all(segmentation=None, bbox=None),
        lambda content: content.pop("annotations"),
    ],
    ids=["boxes", "neither outline nor box", "images alone"],
)
def test_labels_without_outlines_are_refused(tmp_path, change):
    with pytest.raises(DataError, match=r"labels\.json "):
        check(one_json(tmp_path, change))


def test_maps_of_one_class_are_severe_findings(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 1})
    for path in data.glob("*/masks/*.png"):
        Image.fromarray(np.zeros((96, 128), np.uint8)).save(path)
    (data / "classes.txt").write_text("road\nsky\n")
    report = check(data, format="semantic maps")
    lines = [finding.message for finding in report.findings if finding.severe]
    assert [line for line in lines if "nothing to learn for semantic: all" in line]


@pytest.mark.parametrize("cracked, reported", [(5, "80% of"), (15, None)])
def test_plain_images_are_reported_if_they_are_the_most(tmp_path, cracked, reported):
    report = check(write_tiles(tmp_path, cracked, 25), split="train")
    lines = [line for line in findings_by_message(report) if "--repeat-rare 1" in line]
    assert [line.startswith(f"train: {reported}") for line in lines] == ([True] if reported else [])


def test_duplicates_are_reported(tmp_path):
    def double(content):
        content["annotations"].append({**content["annotations"][0]})
        content["categories"][1]["name"] = content["categories"][0]["name"]

    report = check(one_json(tmp_path, double))
    lines = [finding.message for finding in report.findings]
    assert report.passed
    assert "2 classes are called cat: rename or merge them" in lines
    assert "all: 1 annotation id used more than once: 100; renumber them" in lines
    (doubled,) = [line for line in lines if "with the same mask and class" in line]
    assert doubled.startswith("train: 1 object with")


def test_frames_of_one_video_in_both_splits_are_reported(tmp_path):
    """Elsewhere validation images are neighbours of training images, and scores are too high."""
    data = tmp_path / "data"
    whole = write_discs(tmp_path / "discs", {"train": 16}) / "train"
    for index in range(16):
        split = "val" if index % 4 == 3 else "train"
        for kind in ("images", "masks"):
            (data / split / kind).mkdir(parents=True, exist_ok=True)
            name = f"video{index // 4}_{index % 4:04}.png"
            shutil.copy(whole / kind / f"{index}.png", data / split / kind / name)
    (finding,) = [f for f in check(data, format="instance ids").findings if "share" in f.message]
    assert not finding.severe
    assert finding.message.startswith(
        "val and train share 4 groups of images by their names: video0, video1, video2, video3; if"
    )
    shutil.copytree(data / "train", tmp_path / "again", dirs_exist_ok=True)
    shutil.copytree(data / "val", tmp_path / "again", dirs_exist_ok=True)
    again = check(tmp_path / "again", format="instance ids")
    assert [s.images for s in again.surveys] == [12, 4]
    assert not [f for f in again.findings if "share" in f.message], (
        "automatic splits contain whole groups"
    )
