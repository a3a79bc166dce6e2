"""IoUs of run lengths against dense masks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.beside_pycocotools import blob, random_image

from unimask.formats.run_length import RunLength
from unimask.metrics import Objects, mask_ious


def dense_ious(predicted: Objects, truth: Objects) -> np.ndarray:
    """Compute IoUs by counting pixels."""
    table = np.zeros((len(predicted), len(truth)))
    for row, one in enumerate(predicted.masks):
        for column, other in enumerate(truth.masks):
            p, t = one.to_mask(), other.to_mask()
            union = p if truth.crowds[column] else p | t
            table[row, column] = (p & t).sum() / max(1, union.sum())
    return table


@settings(max_examples=60)
@given(st.integers(0, 100_000))
def test_equals_the_reference_implementation(seed):
    predicted, truth = random_image(np.random.default_rng(seed))
    np.testing.assert_array_equal(mask_ious(predicted, truth), dense_ious(predicted, truth))


def test_noise_has_many_runs():
    random = np.random.default_rng(0)
    masks = [RunLength.from_mask(random.random((31, 17)) < share) for share in (0.1, 0.5, 0.9)]
    objects = Objects.from_masks(masks, [0, 0, 0])
    ious = mask_ious(objects, objects.take(np.array([2, 0])))
    np.testing.assert_array_equal(ious, dense_ious(objects, objects.take(np.array([2, 0]))))


def test_runs_that_touch_are_one():
    """Run lengths of other tools may contain empty runs."""
    torn = RunLength((3, 4), np.array([2, 3, 0, 2, 5], np.uint32))
    whole = RunLength((3, 4), np.array([2, 5, 5], np.uint32))
    other = RunLength.from_mask(blob(np.random.default_rng(5), (3, 4)) | (np.eye(3, 4) > 0))
    true = Objects.from_masks([whole, other], [0, 0])
    ious = [mask_ious(Objects.from_masks([mask], [0]), true) for mask in (torn, whole)]
    np.testing.assert_array_equal(*ious)
    assert ious[0][0, 0] == 1
