"""Results in the forms of other tools: LabelMe, YOLO, GeoJSON, supervision, transformers."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

import unimask
from unimask.datasets import open_dataset
from unimask.errors import MissingExtraError
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.results import Result, Segment

LABELS = LabelSet(("cat", "sky", "background"), (True, False, False))
SIZE = (48, 64)
TASKS = ("semantic", "instance", "panoptic")


def draw(*boxes):
    mask = np.zeros(SIZE, bool)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] ^= True
    return RunLength.from_mask(mask)


RING = draw((4, 30, 5, 35), (10, 20, 12, 24))
PAIR = draw((34, 44, 4, 18), (34, 46, 30, 50))
SKY = draw((0, 3, 0, 64), (20, 24, 50, 64))
REST = draw((24, 30, 40, 60))


def result(task="panoptic"):
    found = ((0, RING, 0.9), (0, PAIR, 0.75), (1, SKY, 0.8), (2, REST, 0.7))
    segments = tuple(
        Segment.from_rle(LABELS, label, rle, id=index, score=None if task == "semantic" else score)
        for index, (label, rle, score) in enumerate(found, start=1)
    )
    return Result(task, SIZE, LABELS, segments, path=Path("x/cats.jpg"))


EMPTY = [Result(task, SIZE, LABELS, ()) for task in TASKS]


def fill(polygon):
    points = np.asarray(polygon, float).ravel().tolist()
    (encoded,) = coco.frPyObjects([points], *SIZE)
    return RunLength.from_coco(encoded).to_mask()


@pytest.mark.parametrize("outlines", ["exact", "simple"])
def test_labelme_draws_parts_and_holes(outlines):
    content = result().to_labelme(outlines)
    shapes = content["shapes"]
    assert content["imagePath"] == "cats.jpg" and content["imageData"] is None
    assert (content["imageHeight"], content["imageWidth"]) == SIZE
    assert [(s["label"], s["group_id"], s["score"]) for s in shapes] == [
        ("cat", None, 0.9),
        ("cat", 2, 0.75),
        ("cat", 2, 0.75),
        ("sky", None, 0.8),
        ("sky", None, 0.8),
    ]
    assert {s["shape_type"] for s in shapes} == {"polygon"}
    assert (fill(shapes[0]["points"]) == RING.to_mask()).all()
    assert (fill(shapes[1]["points"]) | fill(shapes[2]["points"]) == PAIR.to_mask()).all()


def test_labelme_polygons_start_at_a_vertex_that_occurs_once():
    """LabelMe 5 drops later vertices that equal the first one, and with it bridges to holes."""
    pinched = draw((4, 30, 5, 35), (10, 20, 12, 24), (0, 4, 35, 40), (22, 28, 14, 30))
    segment = Segment.from_rle(LABELS, 0, pinched, id=1, score=0.9)
    for outlines in ("exact", "simple"):
        for shape in Result("instance", SIZE, LABELS, (segment,)).to_labelme(outlines)["shapes"]:
            points = shape["points"]
            assert points.count(points[0]) == 1 and len(points) > 12
            assert (fill(points) == pinched.to_mask()).all()


def test_semantic_regions_are_not_joined_to_objects():
    shapes = result("semantic").to_labelme()["shapes"]
    assert {s["group_id"] for s in shapes} == {None} and len(shapes) == 5
    assert not any("score" in shape for shape in shapes)


def test_labelme_files_are_read_back(tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "cats.jpg")
    (tmp_path / "cats.json").write_text(json.dumps(result().to_labelme()))
    dataset = open_dataset(tmp_path)
    assert dataset.labels.names == ("cat", "sky", "background")
    masks = {dataset[0].mask(number).tobytes() for number in (1, 2)}
    assert masks == {RING.to_mask().tobytes(), PAIR.to_mask().tobytes()}


@pytest.mark.parametrize("outlines", ["exact", "simple"])
def test_yolo_has_a_line_per_segment(outlines):
    lines = result().to_yolo(outlines).splitlines()
    assert [line.split()[0] for line in lines] == ["0", "0", "1", "2"]
    for line, rle in zip(lines, (RING, PAIR, SKY, REST), strict=True):
        shares = np.array(line.split()[1:], float).reshape(-1, 2)
        assert (shares >= 0).all() and (shares <= 1).all()
        assert (fill(shares * SIZE[::-1]) == rle.to_mask()).all()


def test_geojson_features_have_properties():
    content = result().to_geojson()
    json.dumps(content)
    assert content["image"] == {"file_name": "cats.jpg", "height": 48, "width": 64}
    first = content["features"][0]
    assert first["geometry"]["type"] == "Polygon" and len(first["geometry"]["coordinates"]) == 2
    assert content["features"][1]["geometry"]["type"] == "MultiPolygon"
    properties = first["properties"]
    assert properties["classification"]["name"] == properties["label"] == "cat"
    assert {key: properties[key] for key in ("id", "label_id", "is_thing", "score", "area")} == {
        "id": 1, "label_id": 0, "is_thing": True, "score": 0.9, "area": RING.area,
    }  # fmt: skip


@pytest.mark.parametrize("empty", EMPTY, ids=TASKS)
def test_empty_results_convert_to_empty_outputs(empty):
    assert empty.to_geojson()["features"] == [] and empty.to_labelme()["shapes"] == []
    assert empty.to_yolo() == ""


@pytest.mark.parametrize("task", TASKS)
def test_transformers_tensors_have_its_dtypes_and_numbers(task):
    converted = result(task).to_transformers()
    ids = result(task).segmentation
    if task == "semantic":
        assert converted.dtype == torch.int64 and (converted.numpy() == ids).all()
        return
    segments = converted["segments_info"]
    shift = 1 if task == "instance" else 0
    assert (converted["segmentation"].numpy() == ids - shift).all()
    assert [s["id"] for s in segments] == [1 - shift, 2 - shift, 3 - shift, 4 - shift]
    assert [s["was_fused"] for s in segments] == [False, False, not shift, not shift]


def logits(found):
    """Eight queries of three classes, whose masks are discs; or none of a class."""
    generator = torch.Generator().manual_seed(0)
    classes = 4 * torch.randn(1, 8, 4, generator=generator)
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    centres = 96 * torch.rand(8, 2, generator=generator)
    masks = [10 - torch.hypot(rows - row, columns - column) / 2 for row, column in centres]
    if not found:
        classes = torch.tensor([0.0, 0, 0, 9]).expand(1, 8, 4)
    return classes, torch.stack(masks)[None]


@pytest.mark.parametrize("found", [True, False], ids=["segments", "nothing"])
@pytest.mark.parametrize("task", TASKS)
def test_transformers_returns_the_same_form(task, found):
    """The image processor and `to_transformers` on the same logits."""
    module = pytest.importorskip("transformers.models.mask2former.image_processing_pil_mask2former")
    classes, masks = logits(found)
    output = SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)
    process = getattr(module.Mask2FormerImageProcessorPil(), f"post_process_{task}_segmentation")
    options = {
        "semantic": {},
        "instance": {"threshold": 0.5},
        "panoptic": {"threshold": 0.8, "label_ids_to_fuse": {2}},
    }[task]
    theirs = process(output, target_sizes=[(384, 384)], **options)[0]
    size = (384, 384)
    ours = unimask.postprocess(
        classes[0], masks[0], task=task, labels=("a", "b", "c"), is_thing=(True, True, False),
        padded_size=size, input_size=size, original_size=size,
        threshold=0.5 if task == "instance" else None,
    ).to_transformers()  # fmt: skip
    if task == "semantic":
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
        return
    assert ours.keys() == theirs.keys()
    assert ours["segmentation"].dtype == theirs["segmentation"].dtype
    if not found:
        assert torch.equal(ours["segmentation"], theirs["segmentation"])
        assert ours["segments_info"] == theirs["segments_info"] == []
        return
    things = [info for info in theirs["segments_info"] if info["label_id"] != 2]
    our_things = [info for info in ours["segments_info"] if info["label_id"] != 2]
    assert our_things and [
        {key: type(value) for key, value in info.items()} for info in ours["segments_info"]
    ] == [{"id": int, "label_id": int, "was_fused": bool, "score": float}] * len(
        ours["segments_info"]
    )
    assert min(info["id"] for info in ours["segments_info"]) == min(
        info["id"] for info in theirs["segments_info"]
    )
    found_things = [
        sorted((info["label_id"], round(info["score"], 5)) for info in each)
        for each in (our_things, things)
    ]
    assert found_things[0] == found_things[1]


@pytest.fixture
def supervision():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends OpenCV
        return pytest.importorskip("supervision")


@pytest.mark.extra
def test_supervision_has_all_segments(supervision):
    detections = result().to_supervision()
    assert isinstance(detections, supervision.Detections) and len(detections) == 4
    assert (detections.mask == result().masks).all()
    assert detections.xyxy.tolist() == result().boxes.tolist()
    assert detections.class_id.tolist() == [0, 0, 1, 2]
    assert detections.confidence.tolist() == pytest.approx([0.9, 0.75, 0.8, 0.7])
    assert detections["class_name"].tolist() == ["cat", "cat", "sky", "background"]
    cats = detections[detections["class_name"] == "cat"]
    assert len(cats) == 2 and cats.area.tolist() == [RING.area, PAIR.area]
    assert result("semantic").to_supervision().confidence is None
    drawn = supervision.MaskAnnotator().annotate(np.zeros((*SIZE, 3), np.uint8), detections)
    assert drawn.any()


@pytest.mark.extra
@pytest.mark.parametrize("empty", EMPTY, ids=TASKS)
def test_supervision_of_empty_results_is_empty(supervision, empty):
    detections = empty.to_supervision()
    assert detections.is_empty() and len(detections) == 0
    assert detections["class_name"].tolist() == []
    image = np.zeros((*SIZE, 3), np.uint8)
    assert not supervision.MaskAnnotator().annotate(image, detections).any()
    merged = supervision.Detections.merge([detections, result().to_supervision()])
    assert len(merged) == 4


@pytest.mark.extra
@pytest.mark.parametrize("task", ["instance", "panoptic"])
def test_supervision_reads_the_tensors_for_transformers(supervision, task):
    names = dict(enumerate(LABELS.names))
    detections = supervision.Detections.from_transformers(result(task).to_transformers(), names)
    ours = result(task).to_supervision()
    assert (detections.mask == ours.mask).all() and detections.class_id.tolist() == [0, 0, 1, 2]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError, match=r"pip install supervision$"):
        result().to_supervision()
