"""Calibration errors against torchmetrics, and against their definition."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unimask.metrics import CalibrationError

CLASSES = 7


@pytest.mark.parametrize("num_bins", [5, 15, 40])
@pytest.mark.parametrize("scale", [0.3, 2.0, 8.0])
def test_errors_are_those_of_torchmetrics(num_bins, scale):
    """Of softmax probabilities in several batches, some right and some wrong."""
    metrics = pytest.importorskip("torchmetrics.classification")
    generator = torch.Generator().manual_seed(num_bins)
    ours = CalibrationError(num_bins)
    theirs = {
        name: metrics.MulticlassCalibrationError(CLASSES, n_bins=num_bins, norm=norm)
        for name, norm in (("ECE", "l1"), ("MCE", "max"))
    }
    for _ in range(3):
        logits = scale * torch.randn(5000, CLASSES, generator=generator)
        truth = (logits + 3 * torch.randn(logits.shape, generator=generator)).argmax(1)
        probs = logits.softmax(1).clamp(max=1 - 1e-6)
        for metric in theirs.values():
            metric.update(probs, truth)
        confidence, predicted = probs.max(1)
        ours.update(confidence.numpy(), (predicted == truth).numpy())
    for name, metric in theirs.items():
        assert ours.compute()[name] == pytest.approx(100 * float(metric.compute()), abs=2e-3)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60), st.integers(1, 20))
def test_errors_are_those_of_the_definition(predictions, num_bins):
    metric = CalibrationError(num_bins)
    half = len(predictions) // 2
    for part in (predictions[:half], predictions[half:]):
        metric.update(np.array([c for c, _ in part], float), np.array([k for _, k in part], bool))
    groups = {}
    for confidence, correct in predictions:
        groups.setdefault(min(int(confidence * num_bins), num_bins - 1), []).append(
            (confidence, correct)
        )
    errors = [
        (abs(np.mean([c for c, _ in group]) - np.mean([k for _, k in group])), len(group))
        for group in groups.values()
    ]
    scores = metric.compute()
    if not predictions:
        assert scores == {"ECE": None, "MCE": None}
        return
    expected = sum(error * count for error, count in errors) / len(predictions)
    assert scores["ECE"] == pytest.approx(100 * expected)
    assert scores["MCE"] == pytest.approx(100 * max(error for error, _ in errors))
    assert metric.counts.sum() == len(predictions)
    assert np.isnan(metric.accuracies[metric.counts == 0]).all()


def test_certain_and_right_predictions_are_calibrated():
    metric = CalibrationError()
    metric.update(np.ones(9, np.float32), np.ones(9, bool))
    assert metric.compute() == {"ECE": 0, "MCE": 0} and metric.counts[-1] == 9
