"""Boundaries against a reference in loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.beside_pycocotools import blob, random_image

from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.metrics import AveragePrecision, BoundaryIoU, Objects, boundary_ious, mask_ious
from unimask.metrics.boundaries import boundary, boundary_mask, boundary_width


def reference_boundary(mask: np.ndarray, width: int) -> np.ndarray:
    """Return the pixels of a mask with another pixel in the square around them."""
    padded = np.pad(mask, width)
    side, out = 2 * width + 1, np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        out[y, x] = not padded[y : y + side, x : x + side].all()
    return out


@settings(max_examples=40)
@given(st.integers(0, 100_000), st.integers(1, 4))
def test_equals_the_reference_implementation(seed, width):
    random = np.random.default_rng(seed)
    mask = blob(random, (17, 23)) | blob(random, (17, 23))
    np.testing.assert_array_equal(boundary(mask, width), reference_boundary(mask, width))


@pytest.mark.parametrize(("size", "width"), [((480, 640), 16), ((10, 10), 1), ((427, 640), 15)])
def test_widths_are_a_share_of_the_diagonal(size, width):
    assert boundary_width(size) == width


@settings(max_examples=40)
@given(st.integers(0, 100_000))
def test_pairs_get_the_lesser_iou(seed):
    predicted, truth = random_image(np.random.default_rng(seed), size=(60, 80))
    masks, both = mask_ious(predicted, truth), boundary_ious(predicted, truth)
    for row, column in np.ndindex(masks.shape):
        expected = masks[row, column]
        if expected >= 0.5 and not truth.crowds[column]:
            pair = (predicted.masks[row], truth.masks[column])
            first, second = (reference_boundary(rle.to_mask(), 2) for rle in pair)
            expected = min(expected, (first & second).sum() / (first | second).sum())
        assert both[row, column] == pytest.approx(expected)


def test_boundary_ap_is_no_higher_than_mask_ap():
    random = np.random.default_rng(0)
    labels = LabelSet(("a", "b", "c"), (True,) * 3)
    masks, outlines = AveragePrecision(labels), AveragePrecision(labels, ious=boundary_ious)
    for _ in range(10):
        image = random_image(random, size=(60, 80))
        masks.update(*image)
        outlines.update(*image)
    assert 0 < outlines.compute()["AP"] < masks.compute()["AP"]


def test_a_mask_over_the_whole_image_ends_at_its_edge():
    rim = boundary_mask(RunLength.from_mask(np.ones((30, 40), bool))).to_mask()
    assert rim[0].all() and rim[:, -1].all() and not rim[1:-1, 1:-1].any()
    none = Objects.from_masks([], [])
    assert boundary_ious(none, none).shape == (0, 0)


@settings(max_examples=15)
@given(st.integers(0, 100_000))
def test_boundaries_of_classes(seed):
    random = np.random.default_rng(seed)
    scores, sums = BoundaryIoU(LabelSet(("a", "b", "c"), (False,) * 3)), np.zeros((3, 2))
    for _ in range(2):
        truth, predicted = (
            np.kron(random.integers(-1, 3, (3, 4)), np.ones((20, 20), int)) for _ in range(2)
        )
        scores.update(predicted, truth)
        for label in range(3):
            rims = [
                reference_boundary((ids == label) | (truth < 0), 2) & (ids == label) & (truth >= 0)
                for ids in (predicted, truth)
            ]
            sums[label] += (rims[0] & rims[1]).sum(), (rims[0] | rims[1]).sum()
    expected = [100 * shared / union if union else None for shared, union in sums]
    assert [row["BIoU"] for row in scores.per_class().values()] == pytest.approx(expected)


def test_borders_with_unknown_pixels_are_no_boundary():
    scores = BoundaryIoU(LabelSet(("a", "b"), (False,) * 2))
    assert scores.compute() == {"mBIoU": None}
    truth = np.zeros((40, 40), int)
    truth[:20] = -1
    scores.update(np.where(truth < 0, 1, 0), truth)
    assert scores.compute() == {"mBIoU": 100} and scores.per_class()["b"]["BIoU"] is None
    assert scores.union[0] == 40 + 2 * 19  # the image's edge; the paper counts it
