import numpy as np
import pytest

from unimask.formats.run_length import RunLength
from unimask.tracking.compact_mask import CompactMask, subsampling_factor


def blob(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, bool)
    top, left = random.integers(0, np.array(size) - 8)
    mask[top : top + random.integers(1, 20), left : left + random.integers(1, 20)] = True
    mask &= random.random(size) < 0.8
    mask[top, left] = True
    return mask


@pytest.mark.parametrize("factor", [1, 3])
def test_iou_equals_that_of_the_moved_masks(factor):
    random = np.random.default_rng(factor)
    for _ in range(100):
        first, second = blob(random, (50, 70)), blob(random, (50, 70))
        down, right = (int(shift) for shift in random.integers(-12, 12, 2))
        compact = [
            CompactMask.from_run_length(RunLength.from_mask(m), factor) for m in (first, second)
        ]
        sampled = [np.pad(m[::factor, ::factor], 20) for m in (first, second)]
        if not all(m.any() for m in sampled):
            continue
        moved = np.roll(sampled[0], (down, right), (0, 1))
        expected = (moved & sampled[1]).sum() / (moved | sampled[1]).sum()
        assert compact[0].iou(compact[1], down, right) == pytest.approx(expected)


def test_masks_between_samples_become_one_cell():
    mask = np.zeros((20, 20), bool)
    mask[5, 7] = True
    compact = CompactMask.from_run_length(RunLength.from_mask(mask), 4)
    assert (compact.top, compact.left, compact.area) == (1, 1, 1)


def test_factor():
    assert [subsampling_factor((1, side)) for side in (100, 1024, 1025, 3840)] == [1, 1, 2, 4]
