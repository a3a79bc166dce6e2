"""Dice and Hausdorff 95 against a table of all distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.beside_pycocotools import blob
from scipy.spatial.distance import cdist

from unimask.labels import LabelSet
from unimask.metrics import SurfaceAgreement
from unimask.metrics.surfaces import hausdorff_95

LABELS = LabelSet(("organ", "tumour", "ground"), (False,) * 3)


def reference_surface(mask: np.ndarray) -> np.ndarray:
    """Return the coordinates of pixels with a neighbour outside the mask."""
    padded = np.pad(mask, 1)
    sides = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    return np.argwhere(mask & ~np.all(sides, axis=0))


@settings(max_examples=40)
@given(st.integers(0, 100_000))
def test_equals_the_reference_implementation(seed):
    random = np.random.default_rng(seed)
    first, second = (blob(random, (20, 24)) for _ in range(2))
    first[3, 4] = second[11, 7] = True
    table = cdist(reference_surface(first), reference_surface(second))
    expected = np.percentile(np.concatenate([table.min(1), table.min(0)]), 95)
    assert hausdorff_95(first, second) == pytest.approx(expected)


def test_images_and_classes_are_averaged():
    scores = SurfaceAgreement(LABELS)
    assert scores.compute() == {"Dice": None, "HD95": None}
    truth = np.full((10, 10), 2)
    truth[2:6, 2:6] = 0
    scores.update(truth, truth)
    shifted = np.roll(truth, 1, axis=1)
    scores.update(shifted, truth)
    rows = scores.per_class()
    assert rows["organ"] == {"Dice": pytest.approx(100 * (1 + 12 / 16) / 2), "HD95": 0.5}
    assert rows["tumour"] == {"Dice": None, "HD95": None}
    means = [rows[name]["Dice"] for name in ("organ", "ground")]
    assert scores.compute()["Dice"] == pytest.approx(np.mean(means))


def test_missed_classes_have_no_distance():
    scores = SurfaceAgreement(LABELS)
    truth = np.zeros((4, 4), int)
    truth[0, 0] = 1
    scores.update(np.zeros((4, 4), int), truth)
    assert scores.per_class()["tumour"] == {"Dice": 0, "HD95": None}
    truth[:] = -1
    scores.update(np.ones((4, 4), int), truth)  # all pixels are ignored
    assert scores.per_class()["tumour"] == {"Dice": 0, "HD95": None}
