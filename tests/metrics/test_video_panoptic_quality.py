"""VPQ by its definition: PQ of tubes through windows of frames."""

import numpy as np
import pytest

from unimask.labels import LabelSet
from unimask.metrics.panoptic_quality import PanopticQuality
from unimask.metrics.video_panoptic_quality import PanopticFrame, VideoPanopticQuality

LABELS = LabelSet(("car", "sky"), (True, False))


def frame(predicted, truth, predicted_labels=None, true_labels=None):
    labels = {1: 0, 2: 0, 9: 1}
    return PanopticFrame(
        np.array([predicted]), predicted_labels or labels, np.array([truth]), true_labels or labels
    )


def test_a_switch_of_ids_counts_in_windows_only():
    metric = VideoPanopticQuality(LABELS, windows=(1, 2))
    metric.update(frame([1, 1, 1, 9], [1, 1, 1, 9]))
    metric.update(frame([2, 2, 2, 9], [1, 1, 1, 9]))
    scores = metric.compute()
    assert scores["VPQ1"] == 100
    # Two frames: the car has a tube of 6 pixels, the predictions 3 each: no IoU exceeds one half.
    assert scores["VPQ2"] == pytest.approx((0 + 100) / 2)
    assert scores["VPQ"] == pytest.approx(75)
    assert scores["VPQ_things"] == pytest.approx(50) and scores["VPQ_stuff"] == 100


def test_the_iou_of_a_tube_sums_over_frames_without_void():
    metric = VideoPanopticQuality(LABELS, windows=(2,))
    # Intersection 3 + 1, union 3 + 3; the predicted pixel on void does not count.
    metric.update(frame([1, 1, 1, 1], [1, 1, 1, 0]))
    metric.update(frame([1, 0, 0, 0], [1, 1, 1, 0]))
    assert metric.compute()["VPQ"] == pytest.approx(100 * 4 / 6)


def test_one_frame_is_panoptic_quality_and_sequences_are_separate():
    random = np.random.default_rng(0)
    metric, expected = VideoPanopticQuality(LABELS), PanopticQuality(LABELS)
    labels = {1: 0, 2: 0, 3: 1}
    for number in range(6):
        truth = random.integers(0, 4, (6, 8)).repeat(3, 0).repeat(3, 1)
        predicted = np.where(random.random(truth.shape) < 0.9, truth, 1)
        item = PanopticFrame(predicted, labels, truth, labels)
        metric.update(item)
        expected.update(*item)
        if number == 2:
            metric.end_sequence()
    scores = metric.compute()
    assert scores["VPQ1"] == pytest.approx(expected.compute()["PQ"])
    assert metric.qualities[3].true_positives.sum() <= 2 * 3  # one window per sequence
    assert scores["VPQ4"] is None and scores["VPQ"] is not None
