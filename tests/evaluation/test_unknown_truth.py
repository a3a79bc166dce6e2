"""Scores with ignored, empty or absent ground truth: reference values, and pycocotools."""

from pathlib import Path

import numpy as np
import pytest
from metrics.beside_pycocotools import their_scores

from unimask.datasets import Sample
from unimask.evaluation.objects import ground_truth_objects, predicted_objects
from unimask.evaluation.scorers import build_scorer
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.results import Result, Segment

LABELS = LabelSet(("cat", "dog", "ground"), (True, True, False))
SIZE = (40, 60)
CAT, DOG, GROUND = range(3)


def box(y0, y1, x0, x1):
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


LEFT, RIGHT, NOTHING = box(5, 35, 5, 25), box(5, 35, 35, 55), box(0, 0, 0, 0)
REST = ~(LEFT | RIGHT)


def make_sample(*objects, crowds=(), ignored=None):
    """Return a sample of masks with label ids; `crowds` are indices."""
    ids = np.zeros((1, *SIZE), np.int32)
    for number, (mask, _) in enumerate(objects, start=1):
        ids[0, mask] = number
    return Sample(
        image=np.zeros((*SIZE, 3), np.uint8),
        id_maps=ids,
        label_ids=np.array([label for _, label in objects], np.int64),
        crowds=np.isin(np.arange(len(objects)), crowds),
        ignored=ignored,
        path=Path("image.png"),
    )


def make_result(task, *predictions):
    """Return a prediction of masks with label ids and scores."""
    segments = tuple(
        Segment.from_rle(LABELS, label, RunLength.from_mask(mask), id=number, score=score)
        for number, (mask, label, score) in enumerate(predictions, start=1)
        if task == "instance" or mask.any()
    )
    return Result(task=task, size=SIZE, labels=LABELS, segments=segments)


GROUND_TRUTH = make_sample((LEFT, CAT), (REST, GROUND), (RIGHT, DOG))
PREDICTIONS = ((LEFT, CAT, 0.8), (REST, GROUND, 0.8))
ON_RIGHT = (RIGHT, CAT, 0.9)

CASES = {
    "prediction on a crowd": (
        make_sample((LEFT, CAT), (REST, GROUND), (RIGHT, CAT), crowds=[2]),
        (*PREDICTIONS, ON_RIGHT),
        {"AP": 100, "AR100": 100, "AP_boundary": 100, "AP_match": 100, "cityscapes AP": 100,
         "PQ": 100, "mIoU": 100, "Dice": 100, "HD95": 0, "mBIoU": 100},
    ),
    "missed crowd": (
        make_sample((LEFT, CAT), (REST, GROUND), (RIGHT, CAT), crowds=[2]),
        PREDICTIONS,
        {"AP": 100, "AR100": 100, "AP_match": 100, "cityscapes AP": 100, "PQ": 100, "mIoU": 100},
    ),
    "prediction on ignored pixels": (  # COCO's AP does not support them: a false positive
        make_sample((LEFT, CAT), (REST, GROUND), ignored=RIGHT),
        (*PREDICTIONS, ON_RIGHT),
        {"AP": 50, "AP_match": 100, "cityscapes AP": 100, "PQ": 100, "mIoU": 100, "Dice": 100},
    ),
    "prediction on another class": (
        GROUND_TRUTH,
        (*PREDICTIONS, ON_RIGHT),
        {"AP": 25, "AR100": 50, "AP_match": 100, "cityscapes AP": 12.5, "PQ": 500 / 9,
         "mIoU": (50 + 0 + 100) / 3, "mACC": (100 + 0 + 100) / 3},
    ),
    "no predictions": (
        GROUND_TRUTH,
        (),
        {"AP": 0, "AR100": 0, "AP_boundary": 0, "AP_match": 0, "cityscapes AP": 0, "PQ": 0,
         "mIoU": 0, "Dice": 0, "HD95": None, "mBIoU": 0},
    ),
    "class absent from the ground truth": (
        make_sample((LEFT, CAT), (REST | RIGHT, GROUND)),
        ((LEFT, CAT, 0.8), (REST, GROUND, 0.8), (RIGHT, DOG, 0.9)),
        {"AP": 100, "AR100": 100, "AP_match": 50, "cityscapes AP": 100,
         "mIoU": (100 + 0 + 100 * 1200 / 1800) / 3},
    ),
    "no ground truth, no predictions": (
        make_sample(),
        (),
        {"AP": None, "AR100": None, "AP_match": 100, "cityscapes AP": None, "PQ": None,
         "mIoU": None, "Dice": None, "HD95": None, "mBIoU": None},
    ),
    "no ground truth, one prediction": (  # pixels without objects are ignored by PQ and mIoU
        make_sample(),
        (ON_RIGHT,),
        {"AP": None, "AR100": None, "AP_match": 0, "cityscapes AP": None, "PQ": None, "mIoU": None},
    ),
    "entirely ignored": (
        make_sample(ignored=np.ones(SIZE, bool)),
        (ON_RIGHT,),
        {"AP": None, "AP_match": 100, "cityscapes AP": None, "PQ": None, "mIoU": None},
    ),
    "empty mask": (
        make_sample((LEFT, CAT), (REST | RIGHT, GROUND)),
        ((NOTHING, CAT, 0.9), (LEFT, CAT, 0.8), (REST | RIGHT, GROUND, 0.8)),
        {"AP": 50, "AP50": 50, "AR100": 100, "AP_boundary": 50, "AP_match": 100,
         "cityscapes AP": 100, "PQ": 100, "mIoU": 100},
    ),
}  # fmt: skip


def compute_scores(sample, predictions):
    """Return all scores of one image, or of none."""
    scores = {}
    for task, options in (
        ("panoptic", {}),
        ("semantic", {"boundaries": True}),
        ("instance", {"boundaries": True}),
        ("instance", {"ap": "cityscapes"}),
    ):
        scorer = build_scorer(task, LABELS, **options)
        if sample is not None:
            scorer.add(make_result(task, *predictions), sample)
        prefix = "cityscapes " if "ap" in options else ""
        scores |= {prefix + name: value for name, value in scorer.metrics().items()}
    return scores


@pytest.mark.parametrize("name", CASES)
def test_every_score_equals_its_reference_value(name):
    sample, predictions, expected = CASES[name]
    scores = compute_scores(sample, predictions)
    for metric, value in expected.items():
        assert scores[metric] == (None if value is None else pytest.approx(value)), metric


def test_without_images_nothing_is_defined():
    assert set(compute_scores(None, ()).values()) == {None}


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_predictions_mostly_on_unknown_pixels_are_ignored(share):
    ignored = box(5, 5 + round(30 * share), 35, 55)
    sample = make_sample((LEFT, CAT), (REST | (RIGHT & ~ignored), GROUND), ignored=ignored)
    scores = compute_scores(sample, (*PREDICTIONS, ON_RIGHT))
    assert scores["AP_match"] == pytest.approx(100 if share > 0.5 else 50)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[1]])
def test_instances_are_scored_as_by_pycocotools(name):
    """Cases include crowds, empty masks, and classes absent from ground truth or results."""
    pytest.importorskip("pycocotools")
    sample, predictions, _ = CASES[name]
    images = [
        (
            predicted_objects(make_result("instance", *predictions)),
            ground_truth_objects(sample, LABELS),
        )
    ]
    precision, recall = their_scores(images, len(LABELS))
    ours = compute_scores(sample, predictions)
    for metric, table in (("AP", precision[..., 0]), ("AR100", recall[..., 0, -1])):
        known = table[table > -1]
        assert ours[metric] == (pytest.approx(100 * known.mean()) if known.size else None)
