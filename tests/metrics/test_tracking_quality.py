"""STQ on the cases of its authors' tests (deeplab2), whose values are theirs."""

import numpy as np
import pytest

from unimask.labels import LabelSet
from unimask.metrics.tracking_quality import TrackingQuality

CAR, SKY = 0, 1
LABELS = LabelSet(("car", "sky"), (True, False))


def quality(true_labels, true_ids, predicted_labels, predicted_ids, labels=LABELS):
    metric = TrackingQuality(labels)
    maps = (predicted_labels, predicted_ids, true_labels, true_ids)
    metric.update(*(np.array([values]) for values in maps), sequence="a")
    scores = metric.compute()
    return [scores[name] / 100 for name in ("STQ", "AQ", "SQ")]


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        (([0] * 5, [1] * 5), ([0] * 5, [1, 1, 1, 1, 1]), (1.0, 1.0, 1.0)),
        (([0] * 5, [1] * 5), ([0] * 5, [1, 1, 2, 2, 2]), (0.72111026, 0.52, 1.0)),
        (([0] * 5, [1] * 5), ([0] * 5, [1, 2, 2, 2, 2]), (0.82462113, 0.68, 1.0)),
        (([0] * 5, [1] * 5), ([0] * 5, [1, 2, 3, 4, 5]), (0.447213596, 0.2, 1.0)),
        (([0] * 5, [1] * 5), ([0] * 5, [1, 2, 1, 2, 2]), (0.72111026, 0.52, 1.0)),
        (([0] * 5, [1] * 5), ([1, 0, 0, 0, 0], [0, 1, 1, 1, 1]), (0.50596443, 0.64, 0.4)),
        # The first pixel is a crowd.
        (([0] * 6, [0, 1, 1, 1, 1, 1]), ([0] * 6, [1] * 6), (1.0, 1.0, 1.0)),
        (([0] * 6, [0, 1, 1, 1, 1, 1]), ([0] * 6, [2, 2, 2, 2, 1, 1]), (0.72111026, 0.52, 1.0)),
        (
            ([0] * 6, [0, 1, 1, 1, 1, 1]),
            ([0, 0, 1, 0, 0, 0], [2, 2, 0, 1, 1, 1]),
            (0.40824829, 0.4, 5 / 12),
        ),
        # The first pixel is sky.
        (([1, 0, 0, 0, 0], [0, 1, 1, 1, 1]), ([0] * 5, [1] * 5), (0.56568542, 0.8, 0.4)),
        (([1, 0, 0, 0, 0], [0, 1, 1, 1, 1]), ([0] * 5, [2, 2, 2, 1, 1]), (0.42426407, 0.45, 0.4)),
        (
            ([1, 0, 0, 0, 0], [0, 1, 1, 1, 1]),
            ([0, 0, 1, 0, 0], [2, 2, 0, 1, 1]),
            (0.3, 0.3, 0.3),
        ),
    ],
)
def test_cases_of_the_authors(truth, prediction, expected):
    assert quality(*truth, *prediction) == pytest.approx(expected, abs=1e-7)


def test_a_sequence_of_the_authors():
    # A car (2, id 2) before sky (0) and vegetation (1) in three frames of 8 x 8 pixels.
    true_labels = parse(
        "00000000 00000000 00020111 02222111 22222211 22222221 22222221 22222211 "
        "00000000 00000000 02001100 22211110 22221111 22222111 22222111 22221111 "
        "00000000 00000000 00000000 20111000 22111100 22211110 22211111 22211111"
    )
    predicted_labels = parse(
        "00000000 00000000 00000100 00022111 02222211 22222221 22222221 22222221 "
        "00000000 00000000 00001100 02221111 22221111 22222111 22222211 22222111 "
        "00000000 00000000 00001000 00111100 22211100 22211111 22221111 22221111"
    )
    predicted_ids = parse(
        "00000000 00000000 00000000 00022000 02222100 22222110 22221110 22221110 "
        "00000000 00000000 00000000 02220000 22220000 22222000 22221100 22221000 "
        "00000000 00000000 00000000 00000000 22200000 22200000 22220000 22220000"
    )
    metric = TrackingQuality(LabelSet(("sky", "vegetation", "car"), (False, False, True)))
    for frame in range(3):
        truth = true_labels[frame]
        metric.update(predicted_labels[frame], predicted_ids[frame], truth, 2 * (truth == 2))
    scores = metric.compute()
    assert scores["STQ"] == pytest.approx(66.841773352)
    assert scores["AQ"] == pytest.approx(55.366581415)
    assert scores["SQ"] == pytest.approx(80.69529580309542)


def parse(digits: str) -> np.ndarray:
    return np.array([int(digit) for digit in digits.replace(" ", "")]).reshape(3, 8, 8)


def test_void_and_sequences():
    # Unlabelled pixels do not count, and a prediction without a class is one more class.
    assert quality([0, 0, -1], [1, 1, 0], [0, 0, 1], [3, 3, 0]) == pytest.approx([1, 1, 1])
    assert quality([0, 0], [1, 1], [0, -1], [3, 0])[2] == pytest.approx(0.25)
    metric = TrackingQuality(LABELS)
    for sequence in "ab":  # equal ids of two sequences are different tracks
        zeros, ones = np.zeros((1, 4), int), np.ones((1, 4), int)
        metric.update(zeros, ones, zeros, ones, sequence)
    assert metric.compute()["AQ"] == pytest.approx(100)
    assert TrackingQuality(LABELS).compute() == {"STQ": None, "AQ": None, "SQ": None}
