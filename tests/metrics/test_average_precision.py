"""AP and AR against pycocotools, on generated images and on its published detections."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.beside_pycocotools import blob, random_image, their_scores

from unimask.errors import DataError
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.metrics import AveragePrecision, Objects, box_ious, mask_ious
from unimask.metrics.average_precision import AREA_RANGES

LABELS = LabelSet(("cat", "dog", "tree"), (True,) * 3)
"""Classes of the generated images."""


def assert_equal_tables(images, kind="segm", most=(1, 10, 100)) -> None:
    """Compare all precisions and recalls with pycocotools."""
    ious = {"segm": mask_ious, "bbox": box_ious}[kind]
    ours = AveragePrecision(LABELS, max_detections=most, ious=ious)
    for image in images:
        ours.update(*image)
    theirs = their_scores(images, len(LABELS), kind, most)
    if theirs is None:
        assert all(not value for value in ours.compute().values())
        return
    precision, recall = (np.where(table < 0, np.nan, table) for table in theirs)
    for place, area in enumerate(AREA_RANGES):
        expected = precision[..., place].transpose(2, 0, 1)
        np.testing.assert_allclose(ours.precisions(area), expected, atol=1e-9)
        for column, few in enumerate(most):
            expected = recall[:, :, place, column].T
            np.testing.assert_allclose(ours.curves(area, few)[1], expected, atol=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 100_000), st.sampled_from(["segm", "bbox"]))
def test_pycocotools_agrees(seed, kind):
    random = np.random.default_rng(seed)
    images = [random_image(random) for _ in range(4)]
    if kind == "bbox":  # areas of detections are those of their boxes
        images = [(Objects.from_boxes(p.boxes, p.label_ids, scores=p.scores), t) for p, t in images]
    assert_equal_tables(images, kind)


@settings(max_examples=6)
@given(st.integers(0, 100_000), st.sampled_from([(1, 2, 3), (1, 10, 300), (100, 300, 1000)]))
def test_any_number_of_detections_counts(seed, most):
    """Limits above a hundred do not give -1, unlike COCO's summary."""
    random = np.random.default_rng(seed)
    size, truth = (32, 32), []
    for _ in range(12):
        truth.append(blob(random, size))
    found = [np.roll(truth[i % 12], random.integers(-1, 2, 2), (0, 1)) for i in range(350)]
    image = (
        Objects.from_masks(
            [RunLength.from_mask(mask) for mask in found],
            np.arange(350) % 2,
            scores=random.random(350).round(2),
        ),
        Objects.from_masks([RunLength.from_mask(mask) for mask in truth], np.arange(12) % 2),
    )
    assert_equal_tables([image], most=most)


@pytest.fixture(scope="module")
def published(real_data):
    """Hundred images of COCO, with detections and scores published by pycocotools."""
    from pycocotools.coco import COCO

    folder = real_data / "evaluators"
    if not folder.is_dir():
        pytest.skip(f"no published scores at {folder}")
    truth = COCO(folder / "faster_coco_eval" / "instances_val2014_100.json")
    printed = (folder / "cocoapi" / "val2014_fake_eval_res.txt").read_text()
    tables = {
        part.split("\n")[0]: [float(value) for value in re.findall(r"= (0\.\d{3})", part)]
        for part in printed.split("type=")[1:]
    }
    file = "instances_val2014_fake{}100_results.json"
    found = {
        kind: json.loads((folder / "cocoapi" / file.format(kind)).read_text())
        for kind in ("segm", "bbox")
    }
    return truth, found, tables


def mask_of(coco: dict) -> RunLength:
    return RunLength.from_coco(coco | {"counts": coco["counts"].decode()})


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_published_scores_are_reproduced_to_the_last_digit(published, kind):
    truth, found, tables = published
    label_of = {category: place for place, category in enumerate(sorted(truth.cats))}
    labels = LabelSet(tuple(truth.cats[c]["name"] for c in label_of), (True,) * len(label_of))
    ious = {"segm": mask_ious, "bbox": box_ious}[kind]
    precision = AveragePrecision(labels, ious=ious)
    for image in sorted(truth.imgs):
        true = truth.imgToAnns[image]
        entries = [entry for entry in found[kind] if entry["image_id"] == image]
        rest = {
            "label_ids": [label_of[entry["category_id"]] for entry in entries],
            "scores": [entry["score"] for entry in entries],
        }
        if kind == "segm":
            masks = [RunLength.from_coco(entry["segmentation"]) for entry in entries]
            predicted = Objects.from_masks(masks, **rest)
        else:
            predicted = Objects.from_boxes(corners([entry["bbox"] for entry in entries]), **rest)
        masks = Objects.from_masks(
            [mask_of(truth.annToRLE(entry)) for entry in true],
            [label_of[entry["category_id"]] for entry in true],
            crowds=[bool(entry["iscrowd"]) for entry in true],
            areas=[entry["area"] for entry in true],
        )
        boxes = corners([entry["bbox"] for entry in true])
        precision.update(predicted, replace(masks, boxes=boxes) if kind == "bbox" else masks)
    scores = precision.compute()
    assert [round(value / 100, 3) for value in scores.values()] == tables[kind]


def corners(boxes: list[list[float]]) -> np.ndarray:
    """Convert x, y, width, height to x0, y0, x1, y1."""
    table = np.array(boxes, np.float64).reshape(-1, 4)
    return np.concatenate([table[:, :2], table[:, :2] + table[:, 2:]], axis=1)


def test_parts_merge_into_the_whole():
    random = np.random.default_rng(0)
    images = [random_image(random) for _ in range(8)]
    whole, first, second = (AveragePrecision(LABELS) for _ in range(3))
    for place, image in enumerate(images):
        whole.update(*image)
        (first if place < 5 else second).update(*image)
    first.merge(second)
    assert first.compute() == whole.compute()
    assert first.per_class() == whole.per_class()


def test_a_detection_takes_less_than_a_hundred_bytes():
    precision = AveragePrecision(LABELS)
    image = random_image(np.random.default_rng(1))
    while precision.count < 500:
        precision.update(*image)
        assert precision.rows.nbytes < 100 * precision.count


def test_absent_classes_are_none():
    mask = RunLength.from_mask(np.ones((40, 40), bool))
    none = Objects.from_masks([], [])
    precision = AveragePrecision(LABELS)
    assert set(precision.compute().values()) == {None}
    precision.update(none, none)
    precision.update(Objects.from_masks([mask], [1]), none)
    assert set(precision.compute().values()) == {None}
    precision.update(Objects.from_masks([mask], [0]), Objects.from_masks([mask], [0]))
    scores = precision.compute()
    assert [scores[name] for name in ("AP", "APm", "AR1")] == pytest.approx([100] * 3)
    assert scores["APs"] is None and scores["APl"] is None
    assert precision.per_class()["dog"]["AP"] is None
    precision.update(none, Objects.from_masks([mask], [1]))
    assert precision.per_class()["dog"]["AP"] == 0


def test_masks_of_other_sizes_are_refused():
    one, other = (RunLength.from_mask(np.ones(size, bool)) for size in ((2, 3), (3, 2)))
    with pytest.raises(DataError, match="2 x 3, 3 x 2"):
        AveragePrecision(LABELS).update(
            Objects.from_masks([one], [0]), Objects.from_masks([other], [0])
        )
