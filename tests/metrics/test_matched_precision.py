import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.metrics import MatchedPrecision


def reference_score(predicted, truth, threshold):
    """Compute TP / (TP + FP + FN) by loops over masks."""
    found = [predicted == n for n in np.unique(predicted) if n]
    true = [truth == n for n in np.unique(truth) if n]
    matches = sum(any((p & t).sum() / (p | t).sum() > threshold for p in found) for t in true)
    errors = len(found) + len(true) - 2 * matches
    return matches / (matches + errors) if matches + errors else 1.0


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_equals_the_reference_implementation(seed):
    random = np.random.default_rng(seed)
    precision, expected = MatchedPrecision((0.5, 0.7, 0.9)), []
    for _ in range(3):
        truth = np.kron(random.integers(0, 5, (4, 4)), np.ones((3, 3), int))
        predicted = np.where(random.random(truth.shape) < 0.15, random.integers(0, 6), truth)
        precision.update(predicted, truth)
        expected.append([reference_score(predicted, truth, t) for t in (0.5, 0.7, 0.9)])
    found = precision.compute()
    means = 100 * np.mean(expected, axis=0)
    assert found["AP_match@0.50"] == pytest.approx(means[0])
    assert found["AP_match@0.70"] == pytest.approx(means[1])
    assert found["AP_match@0.90"] == pytest.approx(means[2])
    assert found["AP_match"] == pytest.approx(means.mean())


def test_a_match_must_exceed_the_threshold():
    truth, predicted = np.array([[1, 1]]), np.array([[1, 0]])
    assert MatchedPrecision((0.5,)).update(predicted, truth) == {0.5: 0.0}
    assert MatchedPrecision((0.49,)).update(predicted, truth) == {0.49: 1.0}


def test_matches_below_one_half_are_still_one_to_one():
    truth = np.array([[1, 1, 1, 1]])
    predicted = np.array([[1, 1, 2, 2]])
    assert MatchedPrecision((0.4,)).update(predicted, truth) == {0.4: 0.5}


def test_images_without_objects():
    nothing = np.zeros((3, 3), int)
    one = np.ones((3, 3), int)
    precision = MatchedPrecision((0.5,))
    assert precision.compute()["AP_match"] is None
    assert precision.update(nothing, nothing) == {0.5: 1.0}
    assert precision.update(one, nothing) == {0.5: 0.0}
    assert precision.update(nothing, one) == {0.5: 0.0}


def test_true_objects_that_overlap_share_no_prediction():
    precision = MatchedPrecision((0.5,))
    assert precision.update_ious(np.array([[0.9, 0.8]])) == {0.5: 0.5}
    assert precision.update_ious(np.array([[0.9, 0.8], [0.6, 0.1]])) == {0.5: 1.0}
    assert precision.update_ious(np.zeros((0, 2))) == {0.5: 0.0}
