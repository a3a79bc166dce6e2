import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.labels import LabelSet
from unimask.metrics import MeanIoU

LABELS = LabelSet(("a", "b", "c"), (False,) * 3)


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_equals_the_reference_implementation(seed):
    random = np.random.default_rng(seed)
    truth = random.integers(-1, 3, (2, 6, 7))
    predicted = random.integers(-1, 3, (2, 6, 7))
    iou = MeanIoU(LABELS)
    for one, other in zip(predicted, truth, strict=True):
        iou.update(one, other)
    known = truth >= 0
    ious, accuracies, weighted = [], [], 0.0
    for label in range(3):
        p, t = (predicted == label) & known, truth == label
        if (p | t).any():
            ious.append((p & t).sum() / (p | t).sum())
        if t.any():
            accuracies.append((p & t).sum() / t.sum())
            weighted += t.sum() / known.sum() * ious[-1]
    scores = iou.compute()
    assert scores["mIoU"] == pytest.approx(100 * np.mean(ious))
    assert scores["mACC"] == pytest.approx(100 * np.mean(accuracies))
    assert scores["fwIoU"] == pytest.approx(100 * weighted)
    assert scores["pACC"] == pytest.approx(100 * (predicted == truth)[known].mean())


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_majority_baseline_equals_constant_prediction(seed):
    random = np.random.default_rng(seed)
    truth = random.choice([-1, 0, 1, 2], (6, 7), p=[0.1, 0.1, 0.7, 0.1])
    iou = MeanIoU(LABELS)
    iou.update(np.full_like(truth, 1), truth)
    name, score = iou.most_frequent_class()
    assert name == "b" and score == pytest.approx(iou.compute()["mIoU"])


def test_absent_classes_and_empty_data_are_none():
    iou = MeanIoU(LABELS)
    assert set(iou.compute().values()) == {None} and iou.most_frequent_class() is None
    iou.update(np.array([[0, 0]]), np.array([[0, -1]]))
    assert iou.compute()["mIoU"] == 100 and iou.most_frequent_class() is None
    assert iou.per_class()["b"]["IoU"] is None


def test_ignored_pixels_do_not_count():
    iou = MeanIoU(LABELS)
    iou.update(np.array([[0, 1]]), np.array([[0, 0]]), np.array([[False, True]]))
    assert iou.compute()["mIoU"] == 100
