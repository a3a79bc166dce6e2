"""Stain augmentation in comparison with the colour unmixing of scikit-image."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import hed2rgb, rgb2hed

from unimask.datasets.stains import change_stains


def stained_image(seed: int) -> np.ndarray:
    """Draw random amounts of haematoxylin and eosin, and mix them with scikit-image."""
    amounts = np.random.default_rng(seed).uniform(0.02, 0.08, (24, 24, 3))
    amounts[..., 2] = 0
    return np.rint(hed2rgb(amounts) * 255).astype(np.uint8)


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_amounts_change_by_one_factor_per_stain(seed):
    image = stained_image(seed)
    changed = change_stains(image, 0.3, np.random.default_rng(seed))
    before, after = (rgb2hed(pixels)[..., :2].reshape(-1, 2) for pixels in (image, changed))
    for stain in range(2):
        slope, shift = np.polyfit(before[:, stain], after[:, stain], 1)
        assert 0.68 < slope < 1.32 and abs(shift) < 0.01
        fitted = slope * before[:, stain] + shift
        assert np.abs(fitted - after[:, stain]).max() < 0.004


def test_colours_differ_between_draws_and_grey_images_stay():
    image = stained_image(0)
    draws = [change_stains(image, 0.3, np.random.default_rng(seed)) for seed in range(3)]
    assert not np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[1], draws[2])
    grey = np.repeat(image[..., :1], 3, axis=2)
    assert np.array_equal(change_stains(grey, 0.3, np.random.default_rng(0)), grey)


def test_nothing_changes_without_an_amount():
    image = stained_image(1)
    changed = change_stains(image, 0.0, np.random.default_rng(0))
    assert np.abs(changed.astype(int) - image).max() <= 1
