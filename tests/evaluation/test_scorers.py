"""Scores of samples and predictions."""

from pathlib import Path

import numpy as np
import pytest

from unimask.datasets import Sample
from unimask.errors import SettingsError
from unimask.evaluation.scorers import build_scorer
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.results import Result, Segment

LABELS = LabelSet(("cat", "dog", "ground"), (True, True, False))
SIZE = (12, 16)


def box(y0, y1, x0, x1) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


OUTER, INNER, LONE = box(1, 9, 1, 9), box(3, 6, 3, 6), box(2, 10, 11, 15)


def make_sample(*layers: dict[int, np.ndarray], label_ids, crowds=()) -> Sample:
    """Return a sample whose layers contain numbered masks."""
    id_maps = np.zeros((len(layers), *SIZE), np.int32)
    for layer, masks in zip(id_maps, layers, strict=True):
        for number, mask in masks.items():
            layer[mask] = number
    return Sample(
        image=np.zeros((*SIZE, 3), np.uint8),
        id_maps=id_maps,
        label_ids=np.array(label_ids, np.int64),
        crowds=np.isin(np.arange(1, len(label_ids) + 1), crowds),
        ignored=None,
        path=Path("image.png"),
    )


def make_result(task, *found: tuple[np.ndarray, int, float | None]) -> Result:
    """Return a prediction of masks with label ids and scores."""
    segments = tuple(
        Segment.from_rle(LABELS, label, RunLength.from_mask(mask), id=number, score=score)
        for number, (mask, label, score) in enumerate(found, start=1)
    )
    return Result(task=task, size=SIZE, labels=LABELS, segments=segments)


NESTED = make_sample({1: OUTER, 3: LONE}, {2: INNER}, label_ids=[0, 0, 1])
"""Sample of a cat in front of a cat, and a dog."""


def test_nested_objects_are_both_found():
    scorer = build_scorer("instance", LABELS)
    scorer.add(make_result("instance", (OUTER, 0, 0.9), (INNER, 0, 0.8), (LONE, 1, 0.7)), NESTED)
    scores = scorer.metrics()
    assert [scores["AP"], scores["AR100"]] == pytest.approx([100, 100])
    # Objects in microscopy are disjoint: pixels belong to the prediction with the higher score.
    assert scores["AP_match@0.50"] == pytest.approx(100 * 2 / 3)
    assert set(scorer.per_class()) == {"cat", "dog"}
    assert scorer.notes() == []


def test_curves_use_all_scores_but_matching_only_confident_objects():
    scorer = build_scorer("instance", LABELS)
    single = make_sample({1: OUTER}, label_ids=[0])
    scorer.add(make_result("instance", (OUTER, 0, 0.9), (LONE, 0, 0.2), (INNER, 1, 0.1)), single)
    assert scorer.metrics()["AP"] == pytest.approx(100)
    assert scorer.metrics()["AP_match@0.50"] == 100
    assert scorer.per_class()["dog"]["AP"] is None


@pytest.mark.parametrize("ap", ["coco", "cityscapes"])
def test_matching_uses_the_threshold_of_the_model(ap):
    single = make_sample({1: OUTER}, label_ids=[0])
    result = make_result("instance", (OUTER, 0, 0.9), (LONE, 0, 0.7))
    for min_score, expected in ((0.75, 100), (0.5, 50), (0.95, 0)):
        scorer = build_scorer("instance", LABELS, ap=ap, min_score=min_score)
        scorer.add(result, single)
        assert scorer.metrics()["AP_match@0.50"] == pytest.approx(expected)


def test_crowds_are_never_false_positives():
    crowd = make_sample({1: OUTER, 2: LONE}, label_ids=[0, 0], crowds=(1,))
    scorer = build_scorer("instance", LABELS)
    scorer.add(make_result("instance", (INNER, 0, 0.9), (LONE, 0, 0.8)), crowd)
    assert scorer.metrics()["AP"] == pytest.approx(100)


@pytest.mark.parametrize("limit", [1, 2, 100, 1000])
def test_the_recall_is_named_after_the_detection_limit(limit):
    scorer = build_scorer("instance", LABELS, max_detections=limit)
    scorer.add(make_result("instance", (OUTER, 0, 0.9), (INNER, 0, 0.8), (LONE, 1, 0.7)), NESTED)
    expected = 75 if limit == 1 else 100  # one of two cats, and the dog
    assert scorer.metrics()[f"AR{limit}"] == pytest.approx(expected)
    assert scorer.metrics()["AP"] is not None


def test_overlapping_ground_truth_pixels_belong_to_the_smaller_object():
    panoptic = build_scorer("panoptic", LABELS)
    found = make_result("panoptic", (OUTER & ~INNER, 0, 0.9), (INNER, 0, 0.8), (LONE, 1, 0.7))
    panoptic.add(found, NESTED)
    assert panoptic.metrics()["PQ"] == 100
    assert "1 images have overlapping objects" in panoptic.notes()[0]
    semantic = build_scorer("semantic", LABELS)
    semantic.add(make_result("semantic", (OUTER, 0, None), (LONE, 1, None)), NESTED)
    assert semantic.metrics()["mIoU"] == 100
    overlaps, baseline = semantic.notes()
    assert overlaps == panoptic.notes()[0]
    assert baseline.startswith("predicting cat, the most frequent class, everywhere gives mIoU ")


def test_disjoint_ground_truth_has_no_note_on_overlaps():
    layers = make_sample({1: OUTER}, {2: LONE}, label_ids=[0, 1])
    for task in ("panoptic", "semantic"):
        scorer = build_scorer(task, LABELS)
        scorer.add(make_result(task, (OUTER, 0, None), (LONE, 1, None)), layers)
        assert not any("overlap" in note for note in scorer.notes())


def test_regions_of_one_stuff_are_one_segment():
    scorer = build_scorer("panoptic", LABELS)
    scorer.add(
        make_result("panoptic", (OUTER | LONE, 2, None)),
        make_sample({1: OUTER, 2: LONE}, label_ids=[2, 2]),
    )
    assert scorer.metrics()["PQ_stuff"] == 100


def test_outlines_on_request():
    instance = build_scorer("instance", LABELS, boundaries=True)
    instance.add(make_result("instance", (OUTER, 0, 0.9), (INNER, 0, 0.8), (LONE, 1, 0.7)), NESTED)
    scores = instance.metrics()
    assert [scores["AP_boundary"], scores["AP_boundary50"]] == pytest.approx([100, 100])
    semantic = build_scorer("semantic", LABELS, boundaries=True)
    ground = ~(OUTER | LONE)
    truth = make_sample({1: OUTER, 2: ground}, label_ids=[0, 2])
    semantic.add(make_result("semantic", (OUTER, 0, None), (ground, 2, None)), truth)
    assert semantic.metrics()["mBIoU"] == 100
    perfect = {"IoU": 100, "BIoU": 100, "Dice": 100, "HD95": 0}
    assert semantic.per_class()["cat"] == perfect
    assert semantic.per_class()["dog"] == dict.fromkeys(perfect)
    assert semantic.metrics()["HD95"] == 0
    assert "mBIoU" not in build_scorer("semantic", LABELS).metrics()


def test_boundary_scores_are_refused_for_panoptic():
    with pytest.raises(SettingsError, match="choose one of them with --task"):
        build_scorer("panoptic", LABELS, boundaries=True)
