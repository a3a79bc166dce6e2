"""Large images: choice of bands, scaling that is equal in all windows, and statistics."""

import numpy as np
import pytest

from unimask.errors import ImageError, SettingsError
from unimask.rasters.large_image import LargeImage
from unimask.rasters.scaled_image import ScaledImage
from unimask.tiling.windows import TileWindow


class ArrayImage(LargeImage):
    """Image in memory; pixels of which all bands are `nodata` hold no data."""

    def __init__(self, pixels, nodata=None):
        self.name, self.pixels, self.nodata = "array", pixels, nodata
        self.size, self.num_bands, self.dtype = pixels.shape[:2], pixels.shape[2], pixels.dtype

    def read(self, window, bands):
        rows, columns = window.slices_within(TileWindow(0, 0, *self.size))
        return self.pixels[rows, columns][..., list(bands)]

    def read_valid(self, window):
        values = self.read(window, range(self.num_bands))
        return None if self.nodata is None else (values != self.nodata).any(2)


def test_limits_are_percentiles_of_valid_pixels_and_equal_in_all_windows():
    rng = np.random.default_rng(0)
    pixels = rng.integers(500, 3000, (90, 120, 4)).astype(np.uint16)
    pixels[:20] = 0
    image = ScaledImage.choose(ArrayImage(pixels, nodata=0), 3, bands=(4, 2, 1))
    for channel, band in enumerate((3, 1, 0)):
        expected = np.percentile(pixels[20:, :, band], (0.1, 99.9))
        np.testing.assert_allclose(image.limits[channel], expected)
    whole = image.read(TileWindow(0, 0, 90, 120))
    part = image.read(TileWindow(30, 50, 40, 60))
    np.testing.assert_array_equal(part, whole[30:70, 50:110])
    assert whole[20:].min() == 0 and whole.max() == 255


def test_8_bit_values_stay_unless_a_window_is_given():
    pixels = np.arange(200, dtype=np.uint8).reshape(10, 20, 1)
    source = ArrayImage(pixels)
    window = TileWindow(0, 0, 10, 20)
    plain = ScaledImage.choose(source, 3)
    np.testing.assert_array_equal(plain.read(window), np.repeat(pixels, 3, 2))
    scaled = ScaledImage.choose(source, 1, window=(0, 100))
    np.testing.assert_allclose(scaled.read(window)[:5], pixels[:5] * 2.55, atol=0.51)
    stretched = ScaledImage.choose(source, 1, stretch=True)
    assert stretched.read(window).max() == 255


def test_large_images_are_sampled_evenly(monkeypatch):
    monkeypatch.setattr("unimask.rasters.large_image.SAMPLE_SIDE", 16)
    pixels = np.arange(500, dtype=np.float32)[:, None, None] * np.ones((1, 300, 1), np.float32)
    pixels[100] = np.nan
    image = ScaledImage.choose(ArrayImage(pixels), 1)
    assert image.limits == ((0, 499),) or np.allclose(image.limits, [(0, 499)], atol=1)
    assert image.read(TileWindow(100, 0, 1, 5)).max() == 0


@pytest.mark.parametrize("bands", [(0, 1, 2), (1, 2), (1, 2, 5)])
def test_bands_that_do_not_exist_are_refused(bands):
    source = ArrayImage(np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(SettingsError, match=r"pass 3 numbers, .* from 1 to 4"):
        ScaledImage.choose(source, 3, bands=bands)


def test_bands_must_be_chosen_where_the_choice_is_not_obvious():
    source = ArrayImage(np.zeros((4, 4, 8), np.uint8))
    with pytest.raises(ImageError, match=r"8 bands.*choose 3 bands.*\(--bands 3,2,1\)"):
        ScaledImage.choose(source, 3)
