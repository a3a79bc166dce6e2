"""Known problems of other tools with datasets before training: a test for each."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY_RESNET, write_discs
from outlines import INSIDE, SQUARE, coco_content, draw, write_coco, write_json
from PIL import Image

import unimask
from unimask.datasets import describe, open_dataset
from unimask.errors import DataError
from unimask.formats.panoptic_png import encode_ids
from unimask.presets import PRESETS

SIZE = (48, 64)


def write_maps(folder, maps, names=(), suffix=".png"):
    """Write label maps beside images of noise, and a list of names if there are any."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number, labels in enumerate(maps):
        draw(folder / "images", f"{number}.png", labels.shape)
        Image.fromarray(labels).save(folder / "masks" / f"{number}{suffix}")
    if names:
        (folder / "classes.txt").write_text("\n".join(names) + "\n")
    return folder


def stripes(values, dtype=np.uint8):
    """Draw a map of vertical stripes: each class in several places, as classes are."""
    columns = np.arange(SIZE[1]) // 2 % len(values)
    return np.broadcast_to(np.array(values, dtype)[columns], SIZE).copy()


def labels_in(sample):
    """Return the label id of each pixel, -1 where it is ignored."""
    return np.array([-1, *sample.label_ids])[sample.id_maps[0]]


def test_black_and_white_masks_are_a_class_and_its_background(tmp_path):
    """Elsewhere 255 is "ignore" or the 256th class, and all labelled objects are lost."""
    dataset = open_dataset(write_maps(tmp_path, [stripes([0, 255])] * 3))
    assert dataset.labels.names == ("background", "foreground")
    assert dataset[0].ignored is None and (labels_in(dataset[0]) == stripes([0, 1])).all()
    assert "0 is background, 255 is foreground" in describe(dataset)
    assert "ignored" not in describe(dataset)


def test_the_meaning_of_values_is_printed_before_the_first_step(tmp_path, monkeypatch, capsys):
    """Elsewhere `reduce_labels` and `ignore_index` apply silently, and all output is -1."""
    monkeypatch.setitem(PRESETS, "tiny", lambda classes: replace(TINY_RESNET, num_classes=classes))
    labels = stripes([0, 1])
    labels[:, -2:] = 255  # of 64 columns
    data = write_maps(tmp_path / "data", [labels] * 6, ("road", "sky"))
    run = unimask.train(
        data, "tiny", out=tmp_path / "run", device="cpu", steps=1, size=64, workers=0
    )
    output = capsys.readouterr().out
    assert run.finished and "2 classes, all stuff: road, sky" in output
    assert "0 is road, 1 is sky; 3.1 % of the pixels of 6 maps ignored" in output


@pytest.mark.parametrize(("dtype", "suffix"), [(np.uint16, ".png"), (np.int32, ".tif")])
def test_more_than_254_classes_keep_their_numbers(tmp_path, dtype, suffix):
    """Elsewhere maps are read as 8 bits, and class 300 becomes class 44."""
    names = [f"kind {number}" for number in range(301)]
    values = [0, 44, 254, 255, 256, 300]
    folder = write_maps(tmp_path, [stripes(values, dtype)] * 2, names, suffix)
    dataset = open_dataset(folder)
    assert len(dataset.labels) == 301 and dataset[0].label_ids.tolist() == values
    assert (labels_in(dataset[0]) == stripes(values, np.int32)).all()


@pytest.mark.parametrize(("values", "first"), [([0, 1], "cat"), ([0, 1, 2], "background")])
def test_the_first_class_is_not_lost_to_an_off_by_one(tmp_path, values, first):
    """Elsewhere it is not documented whether class 0 is the background."""
    dataset = open_dataset(write_maps(tmp_path, [stripes(values)] * 3, ("cat", "dog")))
    assert dataset.labels.names == ("cat", "dog") if first == "cat" else (first, "cat", "dog")
    assert f"0 is {first}, 1 is " in describe(dataset)
    assert (labels_in(dataset[0]) == stripes(values)).all()


def test_bad_labels_are_found_before_the_first_step(command, tmp_path):
    """Elsewhere they are found after an hour, in a worker's traceback without a file name."""
    maps = [stripes([0, 1]) for _ in range(6)]
    maps[1][0, :5] = 9
    data = write_maps(tmp_path / "data", maps, ("road", "sky", "pole"))
    (data / "images" / "2.png").write_bytes(b"\x89PNG")
    board, report = tmp_path / "board.png", tmp_path / "report.json"
    code, out, _ = command("check", data, "--preview", board, "--json", report)
    assert code == 1 and "images cannot be read" in out
    assert "1.png has value 9 (5 pixels), which none of the 3 classes has" in out
    assert "2.png" in out and "no objects of 1 class: pole" in out
    assert "road" in out and "sky" in out
    with Image.open(board) as drawn:
        assert drawn.width > 2 * SIZE[1]
    splits = json.loads(report.read_text())["splits"]
    assert sum(split["images"] for split in splits.values()) == 6
    assert sum(split["unreadable"] for split in splits.values()) == 2
    with pytest.raises(DataError, match=r"1\.png has value 9"):
        list(open_dataset(data))


def test_images_that_are_missing_are_found_before_the_first_step(command, check_error, tmp_path):
    """Elsewhere the run fails when it first loads one."""
    data = write_coco(tmp_path / "data")
    (data / "train2017" / "b.png").unlink()
    code, _, err = command("check", data, "--preview", tmp_path / "board.png")
    check_error(code, err, "instances_train2017.json names 'b.png'", "1 of 5 images are missing")


def test_more_objects_than_queries_are_reported_before_the_first_step(command, tmp_path):
    """Elsewhere a network of a hundred queries cannot find all objects, without a message."""
    data = write_discs(tmp_path / "data", {"train": 2, "val": 1}, objects=9)
    code, out, _ = command("check", data, "--queries", 3, "--preview", tmp_path / "board.png")
    assert code == 1 and "train: 2 images with more objects than 3 queries, at most " in out
    assert "train/images/0.png: " in out and "--queries" in out


def test_panoptic_ground_truth_is_made_of_instances_alone(command, tmp_path):
    """Elsewhere converters refuse overlapping objects, and their files lack box and area."""
    data, out = write_coco(tmp_path / "data"), tmp_path / "out"
    code, output, _ = command("convert", data, out, "--to", "coco-panoptic")
    assert code == 0 and "lost: " in output and "pixels of objects behind others" in output
    content = json.loads((out / "annotations" / "panoptic_train.json").read_text())
    segments = [s for a in content["annotations"] for s in a["segments_info"]]
    assert all(s["area"] > 0 and len(s["bbox"]) == 4 for s in segments)
    before, after = open_dataset(data, "train"), open_dataset(out, "train")
    assert after.labels == before.labels and len(after) == len(before)
    for one, other in zip(before, after, strict=True):
        labels = [np.array([-1, *sample.label_ids])[sample.front] for sample in (one, other)]
        assert (labels[0] == labels[1]).all()
        assert np.unique(one.front).size == np.unique(other.front).size
    code, _, _ = command("check", out, "--split", "train", "--preview", tmp_path / "board.png")
    assert code == 0


def test_a_panoptic_image_that_contradicts_its_json_is_named(command, tmp_path):
    """Elsewhere a number without a segment is a KeyError in the first epoch."""
    out = tmp_path / "out"
    data = write_discs(tmp_path / "data", {"train": 3, "val": 1})
    assert command("convert", data, out, "--to", "coco-panoptic")[0] == 0
    broken = out / "annotations" / "panoptic_train" / "1.png"
    ids = np.asarray(Image.open(broken)).copy()
    ids[:4, :4] = encode_ids(np.full((4, 4), 777))
    Image.fromarray(ids).save(broken)
    code, message, _ = command("check", out, "--preview", tmp_path / "board.png")
    assert code == 1 and "1 image cannot be read" in message
    assert "panoptic_train/1.png" in message and "777" in message


def test_objects_inside_of_others_stay_whole(tmp_path):
    """Elsewhere they are flattened to one map, where their order decides which one is visible."""
    nested = {"a.png": [("cat", [INSIDE]), ("cat", [SQUARE])]}
    draw(tmp_path, "a.png")
    write_json(tmp_path / "labels.json", coco_content(nested))
    sample = open_dataset(tmp_path)[0]
    inner, outer = sample.mask(1), sample.mask(2)
    assert inner.any() and (outer & inner == inner).all()
    assert (sample.front[inner] == 1).all()  # the smaller one is in front, whatever the order
    assert (sample.front[outer & ~inner] == 2).all()


def test_a_coco_sized_dataset_takes_less_than_a_gigabyte(tmp_path):
    """Elsewhere masks are stored as pixels: 13,500 images took 73 GB before the first step.

    Measured at full size by benchmarks/dataset_memory.py.
    """
    angles = np.linspace(0, 2 * np.pi, 29, endpoint=False)
    star = np.stack([30 + 20 * np.cos(angles), 24 + 15 * np.sin(angles)], axis=1)
    memory = []
    for images, each in ((50, 1), (50, 11), (550, 1)):
        folder = tmp_path / f"{images}_{each}"
        folder.mkdir()
        names = [f"{number}.png" for number in range(images)]
        for name in names:
            (folder / name).touch()
        write_json(
            folder / "labels.json", coco_content({n: [("cat", [star])] * each for n in names})
        )
        tracemalloc.start()
        dataset = open_dataset(folder)
        memory.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert len(dataset) == images
    one_object, one_image = (memory[1] - memory[0]) / 500, (memory[2] - memory[0]) / 500
    assert 860_000 * one_object + 118_000 * (one_image - one_object) < 0.5e9
