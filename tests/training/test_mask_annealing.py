"""Annealing of EoMT's masked attention, against the steps in the authors' configurations."""

import pytest

from unimask.training.mask_annealing import mask_probs

CONFIGURATIONS = {
    "coco_panoptic_base": (88692, (14782, 36955, 59128), (29564, 51737, 73910)),
    "coco_panoptic_large": (
        88692, (14782, 29564, 44346, 59128), (29564, 44346, 59128, 73910),
    ),
    "ade20k_panoptic_giant": (
        39120, (6520, 11410, 16300, 21190, 26080), (13040, 17930, 22820, 27710, 32600),
    ),
}  # fmt: skip
"""Number of steps, and steps at which each block starts and ends (`configs/dinov2`)."""


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_schedule_is_that_of_the_authors(name):
    steps, starts, ends = CONFIGURATIONS[name]
    for step in range(0, steps + 1, 611):
        expected = [
            (1 - min(max((step - start) / (end - start), 0), 1)) ** 0.9
            for start, end in zip(starts, ends, strict=True)
        ]
        assert mask_probs(step / steps, len(starts)) == pytest.approx(expected, abs=2e-4)


def test_masks_are_complete_first_and_gone_at_last():
    assert mask_probs(0.0, 4) == (1, 1, 1, 1) and mask_probs(1.0, 4) == (0, 0, 0, 0)
    assert mask_probs(1.0, 1) == (0,)
