"""Datasets converted to polygons for labelling tools, and round trips."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unimask.curation import convert
from unimask.curation.writers.create import create_writer
from unimask.datasets import Sample, open_dataset
from unimask.datasets.interface import ALL_IMAGES
from unimask.errors import OutputError, SettingsError
from unimask.labels import LabelSet

LABELS = LabelSet(("cell", "ring", "background"), (True, True, False), ((1, 2, 3), None, None))
POLYGON_FORMATS = ("labelme", "cvat", "geojson", "yolo")


def write(folder, samples, to, outlines=None, labels=LABELS):
    """Write samples as a dataset without splits."""
    folder.mkdir(exist_ok=True, parents=True)
    writer = create_writer(to, folder, labels, outlines)
    writer.image_folder(ALL_IMAGES).mkdir(parents=True, exist_ok=True)
    for number, sample in enumerate(samples):
        writer.add(ALL_IMAGES, sample, f"{number}.png")
        Image.fromarray(sample.image).save(writer.image_folder(ALL_IMAGES) / f"{number}.png")
    writer.finish(ALL_IMAGES)
    writer.close()
    assert not [path for path in folder.rglob(".*")]
    return writer


def make_sample(masks, label_ids, scores=None, size=(120, 160)):
    """Arrange masks as a sample, each on a layer of its own, over background."""
    layers = np.zeros((len(masks) + 1, *size), np.int32)
    for number, mask in enumerate(masks, start=1):
        layers[number][mask] = number
    layers[0][~layers.any(axis=0)] = len(masks) + 1
    return Sample(
        image=np.zeros((*size, 3), np.uint8),
        id_maps=layers,
        label_ids=np.array([*label_ids, 2]),
        crowds=np.zeros(len(masks) + 1, bool),
        ignored=None,
        path=Path("a.png"),
        scores=None if scores is None else np.array([*scores, np.nan]),
    )


def disc(row, column, radius):
    rows, columns = np.indices((120, 160))
    angles = np.arctan2(rows - row, columns - column)
    return np.hypot(rows - row, columns - column) < radius * (1 + 0.1 * np.sin(4 * angles))


RING = disc(40, 45, 36) & ~disc(40, 45, 20)
PARTS = disc(95, 30, 17) | disc(95, 100, 20)
MASKS = (RING, disc(40, 45, 12), PARTS, disc(50, 120, 25))
LABEL_IDS = (1, 0, 0, 0)
SCORES = (0.5, 0.625, 0.75, 0.875)


def objects(sample):
    """Return label and mask of each object except for the background."""
    pairs = [
        (int(label), sample.mask(number))
        for number, label in enumerate(sample.label_ids, start=1)
        if label != 2
    ]
    return sorted(pairs, key=lambda pair: (pair[0], -int(pair[1].sum()), pair[1].tobytes()))


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize("to", POLYGON_FORMATS)
@pytest.mark.parametrize("outlines", ["exact", "simple", None])
def test_objects_round_trip(tmp_path, to, outlines):
    sample = make_sample(MASKS, LABEL_IDS, SCORES)
    write(tmp_path, [sample, make_sample([], [])], to, outlines)
    back = open_dataset(tmp_path)
    assert back.labels == LABELS and len(back) == 2
    assert not any(label != 2 for label in back[1].label_ids)
    exact = outlines == "exact" or (outlines is None and to in ("yolo", "geojson"))
    for (label, mask), (label_back, mask_back) in zip(
        objects(sample), objects(back[0]), strict=True
    ):
        assert label == label_back
        assert (mask == mask_back).all() if exact else iou(mask, mask_back) >= 0.99


@pytest.mark.parametrize("to", POLYGON_FORMATS)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_masks_round_trip_exactly(tmp_path_factory, to, seed):
    random = np.random.default_rng(seed)
    size = tuple(random.integers(2, 14, 2).tolist())
    masks = [random.random(size) < random.choice([0.2, 0.5, 0.8]) for _ in range(3)]
    masks = [mask for mask in masks if mask.any()]
    sample = make_sample(masks, random.integers(0, 2, len(masks)), size=size)
    every_class = make_sample([np.ones(size, bool)] * 2, [0, 1], size=size)
    folder = tmp_path_factory.mktemp("data")
    write(folder, [sample, every_class], to, "exact")
    back = open_dataset(folder)[0]
    pairs = zip(objects(sample), objects(back), strict=True)
    for (label, mask), (label_back, mask_back) in pairs:
        assert label == label_back and (mask == mask_back).all()


def test_labelme_files_are_what_labelme_writes(tmp_path):
    write(tmp_path, [make_sample(MASKS, LABEL_IDS, SCORES)], "labelme")
    content = json.loads((tmp_path / "0.json").read_text())
    assert list(content) == [
        "version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth",
    ]  # fmt: skip
    assert content["imagePath"] == "0.png" and content["imageData"] is None
    assert (content["imageHeight"], content["imageWidth"]) == (120, 160)
    assert [s["score"] for s in content["shapes"]] == [0.5, 0.625, 0.75, 0.75, 0.875]
    groups = [s["group_id"] for s in content["shapes"]]
    assert groups == [None, None, 3, 3, None]
    for shape in content["shapes"]:
        assert shape["shape_type"] == "polygon" and shape["flags"] == {}
        assert len(shape["points"]) <= 120 and all(len(point) == 2 for point in shape["points"])


def test_cvat_files_are_what_cvat_writes(tmp_path):
    write(tmp_path, [make_sample(MASKS, LABEL_IDS, SCORES)], "cvat")
    root = ET.parse(tmp_path / "annotations.xml").getroot()
    assert root.tag == "annotations" and root.findtext("version") == "1.1"
    labels = root.findall("meta/task/labels/label")
    assert [(x.findtext("name"), x.findtext("type")) for x in labels] == [
        ("cell", "any"),
        ("ring", "any"),
    ]
    assert labels[0].findtext("color") == "#010203"
    assert labels[0].findtext("attributes/attribute/name") == "score"
    assert root.findtext("meta/task/size") == "1"
    (image,) = root.findall("image")
    assert image.attrib == {
        "id": "0", "name": "0.png", "width": "160", "height": "120",
    }  # fmt: skip
    assert [shape.tag for shape in image] == ["mask", "polygon", "polygon", "polygon", "polygon"]
    assert [shape.get("group_id") for shape in image] == [None, None, "3", "3", None]
    assert [float(shape.findtext("attribute")) for shape in image] == [
        0.5, 0.625, 0.75, 0.75, 0.875,
    ]  # fmt: skip
    mask = image[0].attrib
    box = [int(mask[key]) for key in ("left", "top", "width", "height")]
    runs = [int(run) for run in mask["rle"].split(", ")]
    assert sum(runs) == box[2] * box[3] and sum(runs[1::2]) == RING.sum()
    assert all(shape.get("occluded") == "0" for shape in image)


def test_without_scores_cvat_declares_none(tmp_path):
    write(tmp_path, [make_sample(MASKS, LABEL_IDS)], "cvat")
    assert "score" not in (tmp_path / "annotations.xml").read_text()


def test_the_order_of_objects_is_kept_in_cvat(tmp_path):
    """The larger object lies over the smaller one, against the rule for lists without order."""
    sample = make_sample([disc(50, 50, 10), disc(50, 55, 30)], [0, 1])
    write(tmp_path, [sample], "cvat", "exact")
    back = open_dataset(tmp_path)[0]
    assert back.label_ids[back.front[50, 50] - 1] == 1


def test_names_are_escaped_in_xml(tmp_path):
    labels = LabelSet(('a "<&> b', "é\tü", "background"), (True, True, False))
    write(tmp_path, [make_sample(MASKS, LABEL_IDS)], "cvat", labels=labels)
    assert open_dataset(tmp_path).labels.names == ('a "<&> b', "é\tü", "background")
    with pytest.raises(OutputError, match="XML cannot hold"):
        bad = LabelSet(("a\0b", "ring", "background"), (True, True, False))
        write(tmp_path / "bad", [make_sample(MASKS, LABEL_IDS)], "cvat", labels=bad)


def test_geojson_keeps_stuff_apart_from_things(tmp_path):
    labels = LabelSet(("cell", "road", "background"), (True, False, False))
    write(tmp_path, [make_sample(MASKS, LABEL_IDS)], "geojson", labels=labels)
    content = json.loads((tmp_path / "0.geojson").read_text())
    kinds = {f["properties"]["label"]: f["properties"]["is_thing"] for f in content["features"]}
    assert kinds == {"cell": True, "road": False}


@pytest.mark.parametrize("to", ["labelme", "cvat", "geojson"])
def test_lost_information_is_counted(tmp_path, to):
    labels = LabelSet(("cell", "road", "background"), (True, False, False))
    sample = make_sample(MASKS, LABEL_IDS)
    sample.crowds[3] = True
    writer = write(tmp_path, [sample], to, labels=labels)
    assert +writer.lost == {"crowds": 1, "regions of stuff that are read back as objects": 1}


@pytest.mark.parametrize("to", POLYGON_FORMATS)
def test_splits_and_images_are_kept(tmp_path, to):
    from conftest import write_discs

    data = write_discs(tmp_path / "discs", {"train": 2, "val": 1})
    written = convert(data, tmp_path / "out", to=to, names=("disc", "background"))
    assert written.images == {"train": 2, "val": 1}
    for split in ("train", "val"):
        back, source = open_dataset(tmp_path / "out", split), open_dataset(data, split)
        assert back.labels == LabelSet(("disc", "background"), (True, False))
        for one, other in zip(source, back, strict=True):
            assert (one.image == other.image).all()
            assert iou(one.front != one.label_ids.argmax() + 1, other.front > 0) > 0
            assert len(one.label_ids) == len(other.label_ids)


def test_outlines_are_refused_where_masks_are_exact(tmp_path):
    with pytest.raises(SettingsError, match="has no effect on coco"):
        convert(tmp_path, tmp_path / "out", to="coco", outlines="simple")
    with pytest.raises(SettingsError, match="choose one of exact, simple"):
        convert(tmp_path, tmp_path / "out", to="yolo", outlines="rough")
