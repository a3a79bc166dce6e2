"""Format detection: every reader is tried, and the most likely one that opens is used."""

import json
import shutil

import numpy as np
import outlines
import pytest
from outlines import coco_content, draw, labelme_content, write_json, write_yolo_split
from PIL import Image

from unimask.datasets import describe, detect_format, open_dataset, split_names
from unimask.datasets.candidates import FORMATS, parse_format
from unimask.datasets.interface import DatasetOptions, DataWarning
from unimask.datasets.opening import open_train_and_val
from unimask.errors import DataError, SettingsError
from unimask.formats.panoptic_png import encode_ids

NAMES = {**outlines.IMAGES, **{f"{i}.png": [("cat", [outlines.SQUARE])] for i in range(5)}}


def write_images(folder, names=NAMES):
    for name in names:
        draw(folder, name)
    return folder


def write_maps(folder):
    """Write a mask of two halves beside each image."""
    folder.mkdir(parents=True, exist_ok=True)
    half = np.zeros(outlines.SIZE, np.uint8)
    half[:, 32:] = 1
    for name in NAMES:
        Image.fromarray(half).save(folder / name)


def count_objects(dataset):
    return sum(dataset.count_things().tolist())


OTHERS = {
    "notes.json": {"categories": [{"id": 0, "name": "cat"}], "info": {"contributor": "x"}},
    "images.json": {"images": [{"id": 1, "file_name": "a.png"}], "categories": []},
    "nothing.json": {"images": [], "annotations": [], "categories": []},
    "captions.json": {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "caption": "a cat"}],
    },
    "list.json": [1, 2],
    "results.json": [{"image_id": 1, "category_id": 1, "score": 0.5}],
    "config.json": {"version": 1, "flags": {}},
    ".hidden.json": coco_content(),
    "broken.json": '{"images": [{"id": 1,',
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(
    "format", ["YOLO segmentation", "LabelMe", "CVAT for images", "semantic maps"]
)
def test_an_unrelated_json_does_not_hide_the_format(tmp_path, name, format):
    """Elsewhere the first bytes of one file decide, and other files are not inspected."""
    write_images(tmp_path / "images")
    if format == "YOLO segmentation":
        shutil.rmtree(tmp_path / "images")
        outlines.write_plain_yolo(tmp_path)
    elif format == "LabelMe":
        for image, shapes in outlines.IMAGES.items():
            file = (tmp_path / "images" / image).with_suffix(".json")
            write_json(file, labelme_content(image, shapes))
    elif format == "CVAT for images":
        (tmp_path / "annotations.xml").write_text(outlines.cvat_text())
    else:
        write_maps(tmp_path / "masks")
    content = OTHERS[name]
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    dataset = open_dataset(tmp_path)
    assert detect_format(tmp_path).format == format
    assert len(dataset) == (len(NAMES) if format == "semantic maps" else 5)
    if format != "semantic maps":
        assert count_objects(dataset) == 6


def test_boxes_beside_masks_are_ignored_and_reported(tmp_path):
    write_images(tmp_path / "images")
    write_maps(tmp_path / "masks")
    content = coco_content(NAMES)
    for annotation in content["annotations"]:
        annotation["segmentation"] = []
    write_json(tmp_path / "boxes.json", content)
    message = describe(open_dataset(tmp_path))
    assert "semantic maps" in message and "cannot be read as COCO instances" in message
    assert "boxes.json has boxes only" in message


def test_labels_that_are_damaged_are_not_replaced_by_maps(tmp_path):
    """Maps beside them would be another ground truth that was not requested."""
    write_images(tmp_path / "images")
    write_maps(tmp_path / "masks")
    content = coco_content(NAMES)
    content["annotations"][0]["category_id"] = 99
    write_json(tmp_path / "labels.json", content)
    with pytest.raises(DataError, match=r"labels\.json: annotation 100 has category_id 99"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, format="semantic maps")) == len(NAMES)


def test_every_tried_format_is_listed_with_its_reason(tmp_path):
    outlines.write_plain_yolo(tmp_path)
    (tmp_path / "labels" / "a.txt").write_text("cat 0.1 0.1 0.2 0.1 0.2 0.2")
    content = coco_content()
    content["images"][0]["file_name"] = "gone.png"
    write_json(tmp_path / "labels.json", content)
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    message = str(caught.value)
    assert "as COCO instances: " in message and "'gone.png'" in message
    assert "as YOLO segmentation: " in message and "a.txt: line 1 has" in message


def test_two_formats_of_the_same_images_are_both_named(tmp_path):
    outlines.write_plain_yolo(tmp_path)
    write_json(tmp_path / "labels.json", coco_content())
    dataset = open_dataset(tmp_path)
    assert dataset.info.format == "COCO instances"
    assert "the folder also has labels as YOLO segmentation, which are not read" in describe(
        dataset
    )
    other = open_dataset(tmp_path, format="yolo")
    assert other.info.format == "YOLO segmentation" and "also has labels" not in describe(other)


@pytest.mark.parametrize(
    ("spelled", "format"),
    [
        ("coco", "COCO instances"),
        ("COCO-Panoptic", "COCO panoptic"),
        ("yolo", "YOLO segmentation"),
        ("labelme", "LabelMe"),
        ("cvat", "CVAT for images"),
        ("semantic maps", "semantic maps"),
        ("instance-ids", "instance ids"),
        ("class and object channels", "class and object channels"),
        ("ade20k", "ADE20K"),
        ("cityscapes", "Cityscapes"),
        ("mapillary_vistas", "Mapillary Vistas"),
        ("parquet", "Hugging Face dataset"),
    ],
)
def test_formats_are_known_in_any_spelling(spelled, format):
    assert parse_format(spelled) == format
    assert all(parse_format(name) == name for name, _ in FORMATS)


def test_unknown_or_absent_formats_are_errors(tmp_path):
    outlines.write_plain_yolo(tmp_path)
    with pytest.raises(
        SettingsError, match=r"--format 'kittens' is not known: pass one of ADE20K, "
    ):
        open_dataset(tmp_path, format="kittens")
    with pytest.raises(
        DataError, match="is not in the format COCO instances: it may be YOLO segmentation"
    ):
        open_dataset(tmp_path, format="coco")


@pytest.mark.parametrize("kind", ["a single COCO JSON", "LabelMe", "CVAT"])
def test_names_for_already_named_classes_are_an_error(tmp_path, kind):
    """Elsewhere the option is ignored, and the requested classes are not trained."""
    data = outlines.WRITERS[kind](tmp_path / "data")
    own = open_dataset(data).labels.names
    assert open_dataset(data, names=own[:-1]).labels.names == own
    with pytest.raises(SettingsError, match=r"--names cannot .* names its own \(ca[tp], ca[tp], b"):
        open_dataset(data, names=("cat",))


@pytest.mark.parametrize("name", ["instances_default.json", "instances_fold1.json", "batch.json"])
def test_one_json_is_the_whole_folder_whatever_its_name(tmp_path, name):
    """CVAT names images without a subset "default", so that only automatic splits apply."""
    write_json(tmp_path / "annotations" / name, coco_content(NAMES))
    write_images(tmp_path / "images" / "default")
    assert [len(open_dataset(tmp_path, split)) for split in (None, "train", "val")] == [10, 8, 2]
    assert split_names(tmp_path, DatasetOptions()) == ("train", "val")
    train, val = open_train_and_val(tmp_path)
    assert (len(train), len(val)) == (8, 2)


def test_several_jsons_none_of_which_is_for_training(tmp_path):
    for name in ("batch1", "batch2"):
        write_json(tmp_path / f"{name}.json", coco_content(NAMES))
    write_images(tmp_path)
    with pytest.raises(
        DataError, match=r"no split 'train': it has batch1, batch2; name one .*--sp"
    ):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, "batch2")) == 10
    sizes = [len(part) for part in open_train_and_val(tmp_path, split="batch1", val_split="batch2")]
    assert sizes == [10, 10]
    sizes = [len(part) for part in open_train_and_val(tmp_path, split="batch1")]
    assert sizes == [8, 2]
    with pytest.raises(SettingsError, match="training and validation are both batch1"):
        open_train_and_val(tmp_path, split="batch1", val_split="batch1")
    with pytest.raises(DataError, match="no split 'batch3'"):
        open_train_and_val(tmp_path, split="batch3")


def test_validation_images_are_not_trained_on_unless_requested(tmp_path):
    write_json(tmp_path / "annotations" / "instances_val2017.json", coco_content(NAMES))
    write_images(tmp_path / "val2017")
    assert len(open_dataset(tmp_path, "val")) == 10 and len(open_dataset(tmp_path)) == 10
    with pytest.raises(
        DataError, match="no split 'train': it has val; name one of them by --split"
    ):
        open_dataset(tmp_path, "train")


def test_datasets_in_nested_folders_are_found(tmp_path):
    outlines.write_plain_yolo(tmp_path / "unpacked" / "data")
    assert len(open_dataset(tmp_path / "unpacked")) == 5
    for fold in ("fold1", "fold2"):
        write_json(tmp_path / "folds" / fold / "labels.json", coco_content())
        write_images(tmp_path / "folds" / fold, outlines.IMAGES)
    assert split_names(tmp_path / "folds", DatasetOptions()) == ("fold1", "fold2")
    assert len(open_dataset(tmp_path / "folds", "fold2")) == 5


def test_a_panoptic_json_finds_its_folders(tmp_path):
    """In panopticapi's sample, a list of images without labels is beside it."""
    ids = np.full(outlines.SIZE, 7)
    ids[:10] = 9
    (tmp_path / "panoptic_examples").mkdir()
    Image.fromarray(encode_ids(ids)).save(tmp_path / "panoptic_examples" / "a.png")
    draw(tmp_path / "input_images", "a.jpg")
    listed = [{"id": 1, "file_name": "a.jpg", "height": 48, "width": 64}]
    segments = [{"id": 7, "category_id": 1}, {"id": 9, "category_id": 2}]
    content = {
        "images": listed,
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": i, "name": n, "isthing": i - 1} for i, n in ((1, "sky"), (2, "cat"))],
    }
    write_json(tmp_path / "panoptic_examples.json", content)
    write_json(tmp_path / "images_info.json", {"images": listed, "categories": []})
    sample = open_dataset(tmp_path)[0]
    assert detect_format(tmp_path).format == "COCO panoptic"
    assert [int(sample.mask(number).sum()) for number in (1, 2)] == [38 * 64, 10 * 64]


@pytest.mark.parametrize(
    ("named", "file"),
    [
        ("caf\u00e9.png", "cafe\u0301.png"),
        ("my%20cat.png", "my cat.png"),
        ("my cat.png", "my%20cat.png"),
        ("CAT.JPG", "cat.jpg"),
        ("cat.jpg", "cat.png"),
    ],
)
def test_images_with_differently_written_names_are_found_and_reported(tmp_path, named, file):
    """Elsewhere two names that look the same on a screen are "not found"."""
    images = {"a.png": [], named: [("cat", [outlines.SQUARE])]}
    write_images(tmp_path, ["a.png", file])
    write_json(tmp_path / "labels.json", coco_content(images))
    with pytest.warns(DataWarning, match=r"is taken to be .*1 of 2 names"):
        dataset = open_dataset(tmp_path)
    assert sorted(path.name for path in dataset.paths) == sorted(["a.png", file])
    assert count_objects(dataset) == 1


def test_names_that_only_look_alike_are_shown_with_escapes(tmp_path):
    write_images(tmp_path, ["cafe\u0301.png", "cafe\u0301.jpg"])
    write_json(tmp_path / "labels.json", coco_content({"caf\u00e9.bmp": []}))
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    assert r"caf\xe9.bmp" in str(caught.value) and r"'cafe\u0301.jpg'" in str(caught.value)


def test_two_names_do_not_share_one_file(tmp_path):
    write_images(tmp_path, ["a.png", "cat.png"])
    write_json(tmp_path / "labels.json", coco_content({"a.png": [], "CAT.png": [], "Cat.png": []}))
    with pytest.raises(DataError, match=r"2 of 3 images are missing; the folder has 'cat\.png'"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("name", ["x" * 5000 + ".png", "a\0b.png"])
def test_names_that_cannot_be_paths_are_one_line_errors(tmp_path, name):
    write_images(tmp_path, ["a.png"])
    write_json(tmp_path / "labels.json", coco_content({"a.png": [], name: []}))
    with pytest.raises(DataError):
        open_dataset(tmp_path)


def test_hidden_files_are_no_images(tmp_path):
    data = outlines.write_plain_yolo(tmp_path)
    for name in (".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/._a.png", "._a.png"):
        draw(data / "images", name)
    assert [path.name for path in open_dataset(data).paths] == sorted(outlines.IMAGES)


def test_labels_of_another_machine_find_images_by_the_end_of_their_path(tmp_path):
    names = ["C:\\data\\day1\\a.png", "C:\\data\\day2\\a.png"]
    write_images(tmp_path / "images", ["day1/a.png", "day2/a.png"])
    write_json(tmp_path / "labels.json", coco_content({name: [] for name in names}))
    dataset = open_dataset(tmp_path)
    assert [path.parent.name for path in dataset.paths] == ["day1", "day2"]


def test_label_studio_urls_resolve_to_files(tmp_path):
    write_images(tmp_path / "images", ["my cat.png"])
    content = coco_content({"/data/local-files/?d=images/my%20cat.png": []})
    write_json(tmp_path / "labels.json", content)
    assert open_dataset(tmp_path).paths[0].name == "my cat.png"


def test_yolo_of_split_folders_without_a_yaml(tmp_path):
    for split in ("train", "val"):
        write_yolo_split(tmp_path / split / "images", tmp_path / split / "labels")
    (tmp_path / "classes.txt").write_text("cat\ncap\n")
    assert [len(open_dataset(tmp_path, split)) for split in ("train", "val")] == [5, 5]
