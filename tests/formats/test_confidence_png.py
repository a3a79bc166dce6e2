"""Confidence images: every value within half a level, also after a PNG."""

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from unimask.formats.confidence_png import ROWS, confidence_image

unit = st.floats(0, 1, width=32)


@given(arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=unit))
def test_values_survive_a_png(values):
    file = io.BytesIO()
    confidence_image(values).save(file, "PNG")
    with Image.open(file) as image:
        assert image.mode == "I;16"
        levels = np.asarray(image)
    assert levels.shape == values.shape
    np.testing.assert_allclose(levels / 65535, values, atol=0.5001 / 65535)


def test_rows_are_converted_in_parts():
    values = np.random.default_rng(0).random((2 * ROWS + 3, 5), np.float32)
    expected = np.rint(65535 * values).astype(np.uint16)
    assert np.array_equal(np.asarray(confidence_image(values)), expected)
