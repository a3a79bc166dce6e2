"""Uncertainty and disagreement: known values, and agreement with other definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.segmentation import MeanIoU

from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.results import Result, Segment
from unimask.selection.informativeness import (
    compute_disagreement,
    compute_uncertainty,
    mean_iou,
)

LABELS = LabelSet(("cell", "background"), (True, False))


def build_result(task, masks, scores=None):
    """Return a result whose segments have these masks; semantic segments have labels in order."""
    segments = [
        Segment.from_rle(
            LABELS,
            number if task == "semantic" else 0,
            RunLength.from_mask(mask),
            id=number + 1,
            score=None if scores is None else scores[number],
        )
        for number, mask in enumerate(masks)
    ]
    return Result(task, masks[0].shape if masks else (4, 6), LABELS, tuple(segments))


def square(left, right):
    mask = np.zeros((4, 6), bool)
    mask[:, left:right] = True
    return mask


@given(st.integers(0, 99))
def test_a_prediction_agrees_with_its_mirror_image(seed):
    mask = np.random.default_rng(seed).random((4, 6)) < 0.5
    for task in ("instance", "panoptic"):
        pair = (build_result(task, [each], [0.9]) for each in (mask, mask[:, ::-1]))
        assert compute_disagreement(*pair) == 0
    pair = (build_result("semantic", [m, ~m]) for m in (mask, mask[:, ::-1]))
    assert compute_disagreement(*pair) == 0


def test_disagreement_is_one_minus_panoptic_quality():
    first = build_result("instance", [square(0, 2), square(4, 6)], [0.9, 0.9])
    mirrored = build_result("instance", [square(4, 6)], [0.9])  # the first object, seen mirrored
    assert compute_disagreement(first, mirrored) == pytest.approx(1 - 1 / 1.5)
    shifted = build_result("instance", [square(3, 6), square(0, 2)], [0.9, 0.9])
    assert compute_disagreement(first, shifted) == pytest.approx(1 - (2 / 3 + 1) / 2)
    nothing = build_result("instance", [])
    assert compute_disagreement(first, nothing) == 1 and compute_disagreement(nothing, nothing) == 0


def test_uncertainty_of_instances_is_largest_at_one_half():
    masks = [square(0, 2), square(2, 4), square(4, 6)]
    assert compute_uncertainty(build_result("instance", masks, [0.5, 0.5, 0.5])) == 1
    assert compute_uncertainty(build_result("instance", masks, [1.0, 0.75, 0.5])) == 0.5
    assert compute_uncertainty(build_result("instance", [])) is None


@given(st.integers(0, 99))
def test_mean_iou_is_that_of_torchmetrics(seed):
    random = np.random.default_rng(seed)
    maps = [random.integers(0, 4, (5, 7)) for _ in range(2)]
    classes = np.unique(maps)
    first, second = (np.searchsorted(classes, each) for each in maps)
    metric = MeanIoU(num_classes=len(classes), input_format="index", per_class=True)
    metric.update(torch.tensor(first[None]), torch.tensor(second[None]))
    assert mean_iou(*maps) == pytest.approx(float(metric.compute().mean()), abs=1e-6)


def test_classes_of_the_sides_are_exchanged_in_mirrored_predictions():
    labels = LabelSet(("left eye", "right eye"), (True, True))

    def predict(task, left, right):
        """Return a prediction of both eyes, with the label ids of the one further left first."""
        masks = zip((left, right), (square(0, 2), square(4, 6)), strict=True)
        rows = [
            Segment.from_rle(labels, label, RunLength.from_mask(mask), id=number, score=0.9)
            for number, (label, mask) in enumerate(masks, start=1)
        ]
        return Result(task, (4, 6), labels, tuple(rows))

    for task in ("semantic", "instance", "panoptic"):
        first = predict(task, 0, 1)
        assert compute_disagreement(first, predict(task, 0, 1)) == 0
        assert compute_disagreement(first, predict(task, 1, 0)) > 0.5
