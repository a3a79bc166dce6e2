"""PQ against a reference implementation of the COCO rule, and against torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.labels import LabelSet
from unimask.metrics import PanopticQuality

LABELS = LabelSet(("cat", "dog", "sky"), (True, True, False))


def random_image(random, size=(20, 24), segments=6):
    """Draw ids in blocks (some void), and the label of each."""
    coarse = random.integers(0, segments + 1, (5, 6))
    ids = np.kron(coarse, np.ones((4, 4), int))
    flip = random.random(size) < 0.08
    ids[flip] = random.integers(0, segments + 1, flip.sum())
    return ids, {number: int(random.integers(3)) for number in range(1, segments + 1)}


def reference_counts(images):
    """Compute IoU sum, TP, FP and FN per class by loops over masks."""
    sums = np.zeros((3, 4))
    for predicted, found_labels, truth, true_labels, crowds in images:
        void = truth == 0
        matched_found, matched_true = set(), set()
        for t in set(np.unique(truth)) - {0} - set(crowds):
            for p in set(np.unique(predicted)) - {0}:
                if found_labels[p] != true_labels[t]:
                    continue
                a, b = predicted == p, truth == t
                iou = (a & b).sum() / ((a & ~void) | b).sum()
                if iou > 0.5:
                    sums[true_labels[t], 0] += iou
                    sums[true_labels[t], 1] += 1
                    matched_found.add(p)
                    matched_true.add(t)
        for p in set(np.unique(predicted)) - {0} - matched_found:
            mask = predicted == p
            same = [c for c in crowds if true_labels[c] == found_labels[p]]
            ignored = (mask & (void | np.isin(truth, same))).sum()
            if ignored / mask.sum() <= 0.5:
                sums[found_labels[p], 2] += 1
        for t in set(np.unique(truth)) - {0} - set(crowds) - matched_true:
            sums[true_labels[t], 3] += 1
    return sums


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.booleans())
def test_equals_the_reference_implementation(seed, crowded):
    random = np.random.default_rng(seed)
    quality, images = PanopticQuality(LABELS), []
    for _ in range(2):
        truth, true_labels = random_image(random)
        predicted = truth.copy()
        wrong = random.random((5, 6)) < 0.3
        predicted[np.kron(wrong, np.ones((4, 4), bool))] = random.integers(0, 7)
        found_labels = dict(true_labels) | {1: int(random.integers(3))}
        crowds = frozenset({2, 3}) if crowded else frozenset()
        images.append((predicted, found_labels, truth, true_labels, crowds))
        quality.update(*images[-1])
    sums = reference_counts(images)
    np.testing.assert_allclose(quality.iou, sums[:, 0])
    assert quality.true_positives.tolist() == sums[:, 1].tolist()
    assert quality.false_positives.tolist() == sums[:, 2].tolist()
    assert quality.false_negatives.tolist() == sums[:, 3].tolist()


def test_torchmetrics_agrees_without_void_and_crowds():
    metrics = pytest.importorskip("torchmetrics.detection")
    random = np.random.default_rng(0)
    quality = PanopticQuality(LABELS)
    theirs = metrics.PanopticQuality(things={0, 1}, stuffs={2}, return_sq_and_rq=True)
    for _ in range(5):
        truth, labels = random_image(random)
        truth += 1 - truth.clip(max=1)  # no void
        predicted = truth.copy()
        predicted[random.random(truth.shape) < 0.2] = random.integers(1, 7)
        # torchmetrics has one sky per image: give every stuff segment the same id
        for ids in (truth, predicted):
            stuff = [number for number, label in labels.items() if label == 2]
            ids[np.isin(ids, stuff)] = stuff[0] if stuff else 0
        quality.update(predicted, labels, truth, labels)
        category = np.array([0, *(labels[number] for number in sorted(labels))])
        pair = [
            torch.from_numpy(np.stack([category[ids], np.where(category[ids] == 2, 0, ids)], -1))
            for ids in (predicted, truth)
        ]
        theirs.update(pair[0][None], pair[1][None])
    pq, sq, rq = (100 * float(value) for value in theirs.compute())
    ours = quality.compute()
    assert ours["PQ"] == pytest.approx(pq, abs=1e-4)
    assert ours["SQ"] == pytest.approx(sq, abs=1e-4)
    assert ours["RQ"] == pytest.approx(rq, abs=1e-4)


def test_perfect_is_a_hundred_and_absent_is_none():
    quality = PanopticQuality(LABELS)
    assert quality.compute()["PQ"] is None
    ids = np.array([[1, 1, 2, 2]])
    quality.update(ids, {1: 0, 2: 2}, ids, {1: 0, 2: 2})
    scores = quality.compute()
    assert scores["PQ"] == scores["SQ_things"] == scores["RQ_stuff"] == 100
    assert quality.per_class()["dog"]["PQ"] is None


def test_one_pixel_and_nothing():
    quality = PanopticQuality(LABELS)
    quality.update(np.array([[0]]), {}, np.array([[1]]), {1: 0})
    assert quality.compute()["PQ"] == 0
    quality.update(np.array([[1]]), {1: 0}, np.array([[1]]), {1: 0})
    assert quality.compute()["PQ"] == pytest.approx(100 / 1.5)
    quality.update(np.array([[0]]), {}, np.array([[0]]), {})
    assert quality.compute()["PQ"] == pytest.approx(100 / 1.5)
