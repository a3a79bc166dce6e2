"""Every score where truth is unknown, empty or absent: values by hand, and pycocotools'."""

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


def sample_of(*objects, crowds=(), ignored=None):
    """An image whose objects are masks with label ids; crowds by their place."""
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


def result_of(task, *found):
    """A prediction of masks with label ids and scores; panoptic and semantic of what has pixels."""
    segments = tuple(
        Segment.from_rle(LABELS, label, RunLength.from_mask(mask), id=number, score=score)
        for number, (mask, label, score) in enumerate(found, start=1)
        if task == "instance" or mask.any()
    )
    return Result(task=task, size=SIZE, labels=LABELS, segments=segments)


TRUE = sample_of((LEFT, CAT), (REST, GROUND), (RIGHT, DOG))
FOUND = ((LEFT, CAT, 0.8), (REST, GROUND, 0.8))
ON_RIGHT = (RIGHT, CAT, 0.9)

CASES = {
    "found on a crowd": (
        sample_of((LEFT, CAT), (REST, GROUND), (RIGHT, CAT), crowds=[2]),
        (*FOUND, ON_RIGHT),
        {"AP": 100, "AR100": 100, "AP_boundary": 100, "AP_match": 100, "cityscapes AP": 100,
         "PQ": 100, "mIoU": 100, "Dice": 100, "HD95": 0, "mBIoU": 100},
    ),
    "a crowd that nobody found": (
        sample_of((LEFT, CAT), (REST, GROUND), (RIGHT, CAT), crowds=[2]),
        FOUND,
        {"AP": 100, "AR100": 100, "AP_match": 100, "cityscapes AP": 100, "PQ": 100, "mIoU": 100},
    ),
    "found on ignored pixels": (  # which COCO's AP has no idea of: it counts as wrong
        sample_of((LEFT, CAT), (REST, GROUND), ignored=RIGHT),
        (*FOUND, ON_RIGHT),
        {"AP": 50, "AP_match": 100, "cityscapes AP": 100, "PQ": 100, "mIoU": 100, "Dice": 100},
    ),
    "found where there is another class": (
        TRUE,
        (*FOUND, ON_RIGHT),
        {"AP": 25, "AR100": 50, "AP_match": 100, "cityscapes AP": 12.5, "PQ": 500 / 9,
         "mIoU": (50 + 0 + 100) / 3, "mACC": (100 + 0 + 100) / 3},
    ),
    "nothing found": (
        TRUE,
        (),
        {"AP": 0, "AR100": 0, "AP_boundary": 0, "AP_match": 0, "cityscapes AP": 0, "PQ": 0,
         "mIoU": 0, "Dice": 0, "HD95": None, "mBIoU": 0},
    ),
    "a class that the truth lacks": (
        sample_of((LEFT, CAT), (REST | RIGHT, GROUND)),
        ((LEFT, CAT, 0.8), (REST, GROUND, 0.8), (RIGHT, DOG, 0.9)),
        {"AP": 100, "AR100": 100, "AP_match": 50, "cityscapes AP": 100,
         "mIoU": (100 + 0 + 100 * 1200 / 1800) / 3},
    ),
    "nothing there, nothing found": (
        sample_of(),
        (),
        {"AP": None, "AR100": None, "AP_match": 100, "cityscapes AP": None, "PQ": None,
         "mIoU": None, "Dice": None, "HD95": None, "mBIoU": None},
    ),
    "nothing there, something found": (  # pixels of no object are unknown to PQ and mIoU
        sample_of(),
        (ON_RIGHT,),
        {"AP": None, "AR100": None, "AP_match": 0, "cityscapes AP": None, "PQ": None, "mIoU": None},
    ),
    "all of it ignored": (
        sample_of(ignored=np.ones(SIZE, bool)),
        (ON_RIGHT,),
        {"AP": None, "AP_match": 100, "cityscapes AP": None, "PQ": None, "mIoU": None},
    ),
    "a mask without pixels": (
        sample_of((LEFT, CAT), (REST | RIGHT, GROUND)),
        ((NOTHING, CAT, 0.9), (LEFT, CAT, 0.8), (REST | RIGHT, GROUND, 0.8)),
        {"AP": 50, "AP50": 50, "AR100": 100, "AP_boundary": 50, "AP_match": 100,
         "cityscapes AP": 100, "PQ": 100, "mIoU": 100},
    ),
}  # fmt: skip


def scores_of(sample, found):
    """All scores of one image, or of none."""
    scores = {}
    for task, options in (
        ("panoptic", {}),
        ("semantic", {"boundaries": True}),
        ("instance", {"boundaries": True}),
        ("instance", {"ap": "cityscapes"}),
    ):
        scorer = build_scorer(task, LABELS, **options)
        if sample is not None:
            scorer.add(result_of(task, *found), sample)
        prefix = "cityscapes " if "ap" in options else ""
        scores |= {prefix + name: value for name, value in scorer.metrics().items()}
    return scores


@pytest.mark.parametrize("name", CASES)
def test_every_score_equals_its_reference_value(name):
    sample, found, expected = CASES[name]
    scores = scores_of(sample, found)
    for metric, value in expected.items():
        assert scores[metric] == (None if value is None else pytest.approx(value)), metric


def test_without_images_nothing_is_defined():
    assert set(scores_of(None, ()).values()) == {None}


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_predictions_mostly_on_unknown_pixels_are_ignored(share):
    ignored = box(5, 5 + round(30 * share), 35, 55)
    sample = sample_of((LEFT, CAT), (REST | (RIGHT & ~ignored), GROUND), ignored=ignored)
    scores = scores_of(sample, (*FOUND, ON_RIGHT))
    assert scores["AP_match"] == pytest.approx(100 if share > 0.5 else 50)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[1]])
def test_instances_are_scored_as_by_pycocotools(name):
    """Among them crowds, masks without pixels and classes that the truth or the results lack."""
    pytest.importorskip("pycocotools")
    sample, found, _ = CASES[name]
    images = [
        (predicted_objects(result_of("instance", *found)), ground_truth_objects(sample, LABELS))
    ]
    precision, recall = their_scores(images, len(LABELS))
    ours = scores_of(sample, found)
    for metric, table in (("AP", precision[..., 0]), ("AR100", recall[..., 0, -1])):
        known = table[table > -1]
        assert ours[metric] == (pytest.approx(100 * known.mean()) if known.size else None)
