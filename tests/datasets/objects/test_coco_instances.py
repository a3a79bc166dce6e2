"""COCO instances in common layouts, and contradictory files."""

import json

import numpy as np
import pytest
from outlines import (
    IMAGES,
    INSIDE,
    SIZE,
    SQUARE,
    coco_content,
    draw,
    flatten,
    outline,
    write_annotation,
    write_coco,
    write_json,
    write_labels,
    write_roboflow,
    write_single_coco,
)
from PIL import Image

from unimask.datasets import describe, open_dataset
from unimask.datasets.interface import DataWarning
from unimask.datasets.sample import build_target
from unimask.errors import DataError
from unimask.formats.run_length import RunLength

pytest.importorskip("pycocotools.mask")


def test_two_nested_objects_stay_two_masks_and_the_smaller_is_in_front(tmp_path):
    dataset = open_dataset(write_coco(tmp_path), "train")
    assert dataset.labels.names == ("cat", "cap", "background")
    assert dataset.labels.is_thing == (True, True, False)
    assert [path.name for path in dataset.paths] == sorted(IMAGES)
    sample = dataset[0]
    square, inside = outline(SQUARE), outline(INSIDE)
    assert np.array_equal(sample.mask(1), square) and np.array_equal(sample.mask(2), inside)
    assert np.array_equal(sample.mask(3), ~square) and sample.label_ids.tolist() == [0, 1, 2]
    assert np.array_equal(sample.front == 2, inside)
    targets = [build_target(sample, task, dataset.labels) for task in ("instance", "semantic")]
    assert [target.labels.tolist() for target in targets] == [[0, 1], [0, 1, 2]]


def test_images_without_objects_are_kept(tmp_path):
    dataset = open_dataset(write_coco(tmp_path), "val")
    sample = dataset[[path.name for path in dataset.paths].index("empty.png")]
    assert sample.label_ids.tolist() == [2] and sample.mask(1).all()


def test_images_in_subfolders_with_a_single_file(tmp_path):
    data = write_single_coco(tmp_path)
    assert len(open_dataset(data)) == 5 and len(open_dataset(data, "val")) == 1


def test_roboflow_groups_are_no_class(tmp_path):
    data = write_roboflow(tmp_path)
    with pytest.warns(DataWarning, match="category 'pets' only groups others"):
        dataset = open_dataset(data, "val")
    assert dataset.labels.names == ("cat", "cap", "background") and len(dataset) == 5


def test_moved_labels_find_their_images(tmp_path):
    content = coco_content()
    for image in content["images"]:
        draw(tmp_path / "JPEGImages", image["file_name"])
        image["file_name"] = "C:\\somebody\\images\\" + image["file_name"]
    write_json(tmp_path / "result.json", content)
    assert open_dataset(tmp_path)[1].path == tmp_path / "JPEGImages" / "b.png"


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths_with_holes_and_crowds(tmp_path, compressed):
    ring = outline(SQUARE) & ~outline(INSIDE)
    rle = RunLength.from_mask(ring)
    counts = rle.to_coco()["counts"] if compressed else rle.counts.tolist()
    content = write_annotation({"size": list(SIZE), "counts": counts}, iscrowd=1)
    content["annotations"].append(
        content["annotations"][0] | {"id": 9, "segmentation": [flatten(INSIDE)], "iscrowd": 0}
    )
    sample = open_dataset(write_labels(tmp_path, content))[0]
    assert np.array_equal(sample.mask(1), ring) and sample.crowds.tolist() == [True, False, False]
    target = build_target(sample, "panoptic", open_dataset(tmp_path).labels)
    assert target.labels.tolist() == [0, 2] and np.array_equal(target.ignored.numpy(), ring)


def test_the_class_called_background_is_the_stuff(tmp_path):
    names = ("_background_", "cat", "cap")
    dataset = open_dataset(write_labels(tmp_path, coco_content(names=names)))
    assert dataset.labels.names == names and dataset.labels.is_thing == (False, True, True)
    assert dataset[0].label_ids.tolist() == [1, 2, 0]


def test_known_classes_have_their_colours(tmp_path):
    from unimask.label_sets.known import known_labels

    known = known_labels("coco_instance")
    labels = open_dataset(write_labels(tmp_path, coco_content({"a.png": []}, known.names))).labels
    assert labels.colours == (*known.colours, None)


def test_objects_of_which_only_a_box_is_known_are_ignored(tmp_path):
    content = coco_content()
    content["annotations"][0] |= {"segmentation": [[1, 1, 9, 9]], "bbox": [1, 1, 8, 8]}
    content["annotations"][1] |= {"segmentation": [], "bbox": [0, 0, 0, 0]}
    with (
        pytest.warns(DataWarning, match="1 objects have no outline .*annotation 100"),
        pytest.warns(DataWarning, match="1 annotations have neither .*annotation 101"),
    ):
        sample = open_dataset(write_labels(tmp_path, content))[0]
    assert sample.crowds.tolist() == [True, False] and sample.mask(1).sum() == 64


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["annotations"][1].update(category_id=3), "annotation 101 has category_id 3"),
        (lambda c: c["annotations"][1].update(image_id=3), "annotation 101 has image_id 3"),
        (lambda c: c["images"][1].update(id=0), "two images of id 0"),
        (lambda c: c["categories"][1].update(id=7), "two categories of id 7"),
        (lambda c: c.pop("categories"), "lists no categories"),
        (lambda c: c.update(images=[]), "lists no images"),
        (lambda c: c["images"][0].pop("file_name"), r"images\[0\]: lacks the field file_name"),
        (lambda c: c.update(annotations=[3]), r"annotations\[0\]: expected object, got int"),
        (lambda c: c["annotations"][1].update(image_id=[3]), r"annotations\[1\]\.image_id: "),
        (lambda c: c["annotations"][1].update(area="wide"), r"annotations\[1\]: area is 'wide'"),
        (lambda c: c["annotations"][1].update(segmentation=7), "annotation 101 has neither"),
        (lambda c: c["annotations"][1].update(segmentation={"size": [1]}), "101 has no mask"),
        (lambda c: c["annotations"][1].update(segmentation=[["x"] * 6]), "101 has coordinates"),
        (lambda c: c["annotations"][1].update(segmentation=[[1, 1, 200, 1, 9, 9]]), "101 of a.png"),
        (lambda c: [a.update(segmentation=[]) for a in c["annotations"]], "boxes only"),
        (lambda c: c["images"][0].update(height=99), r"a\.png has 64 x 48 pixels, .* 64 x 99"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, change, reason):
    content = coco_content()
    write_labels(tmp_path, content)
    change(content)
    write_json(tmp_path / "labels.json", content)
    with pytest.raises(DataError, match=reason) as caught:
        open_dataset(tmp_path)[0]
    assert "\n" not in str(caught.value)


def test_missing_images_are_counted_and_named(tmp_path):
    write_labels(tmp_path, coco_content())
    (tmp_path / "b.png").unlink()
    with pytest.raises(DataError, match=r"'b\.png', .*1 of 5 images are missing"):
        open_dataset(tmp_path)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match="5 of 5 images are missing"):
        open_dataset(tmp_path)


def test_images_rotated_by_exif_are_reported(tmp_path):
    content = write_annotation([flatten(INSIDE)])
    content["images"][0]["file_name"] = "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"turned upright by its EXIF orientation 6.*exiftool"):
        open_dataset(tmp_path)[0]


@pytest.mark.filterwarnings("ignore::unimask.datasets.interface.DataWarning")
def test_real_photographs(real_data):
    dataset = open_dataset(real_data / "photos_cc0")
    assert len(dataset) == 61 and len(dataset.labels) == 18
    sample = dataset[0]
    assert sample.label_ids[-1] == 17 and sample.id_maps.max() == len(sample.label_ids)


def test_the_category_ids_of_the_file_reach_the_label_set(tmp_path):
    assert open_dataset(write_coco(tmp_path), "train").labels.category_ids == (7, 17, 0)


def test_the_background_gets_a_free_category_id(tmp_path):
    content = coco_content()
    swap = {7: 0, 17: 1}
    for item in (*content["categories"], *content["annotations"]):
        key = "category_id" if "category_id" in item else "id"
        item[key] = swap[item[key]]
    for name in IMAGES:
        draw(tmp_path, name)
    write_json(tmp_path / "labels.json", content)
    assert open_dataset(tmp_path).labels.category_ids == (0, 1, 2)


def test_links_to_themselves_are_ignored(tmp_path):
    folder = write_single_coco(tmp_path)
    (folder / "loop").symlink_to("loop")
    assert len(open_dataset(folder)) == len(IMAGES)


def test_two_files_of_one_split_are_reported(tmp_path):
    """COCO of 2014 and of 2017 in one folder: elsewhere the second is silently left out."""
    for year, count in (("2014", 5), ("2017", 2)):
        content = coco_content()
        content["images"] = content["images"][:count]
        ids = {image["id"] for image in content["images"]}
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] in ids]
        for split in ("train", "val"):
            for image in content["images"]:
                draw(tmp_path / f"{split}{year}", image["file_name"])
            write_json(tmp_path / "annotations" / f"instances_{split}{year}.json", content)
    dataset = open_dataset(tmp_path, "train")
    note = "train is instances_train2014.json; instances_train2017.json is left out of it"
    assert len(dataset) == 5 and note in describe(dataset)
    assert "choose val2017 by --split or --val-split" in describe(dataset)
    assert len(open_dataset(tmp_path, "train2017")) == 2
