"""Preprocessing by detectron2's rule."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unimask.config import PreprocessingConfig
from unimask.processing.preprocess import (
    input_size,
    padded_size,
    preprocess,
    stretch_intensities,
)

COCO = PreprocessingConfig()
SMALL = PreprocessingConfig(shortest_edge=20, longest_edge=33, size_divisor=8)


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ((480, 640), (800, 1067)),
        ((640, 480), (1067, 800)),
        ((427, 640), (800, 1199)),
        ((375, 1242), (402, 1333)),  # 402.47 x 1333: limited by the longer side
        ((2160, 3840), (750, 1333)),
        ((1, 1), (800, 800)),
        ((1, 30_000), (1, 1333)),
    ],
)
def test_input_size(original, expected):
    assert input_size(original, COCO) == expected


def test_squash_resizes_every_shape_to_one_size():
    squashed = PreprocessingConfig(squash=(384, 320))
    assert {input_size(shape, squashed) for shape in ((1, 900), (480, 640))} == {(384, 320)}


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_no_side_is_too_long_and_the_shape_is_kept(height, width):
    new_height, new_width = input_size((height, width), COCO)
    assert max(new_height, new_width) <= COCO.longest_edge
    assert min(new_height, new_width) <= COCO.shortest_edge
    scale = max(new_height, new_width) / max(height, width)
    assert abs(min(new_height, new_width) - max(1, scale * min(height, width))) <= 1


@pytest.mark.parametrize(
    ("size", "divisor", "expected"),
    [((1, 33), 32, (32, 64)), ((32, 64), 32, (32, 64)), ((5, 7), 0, (5, 7)), ((5, 7), 1, (5, 7))],
)
def test_padded_size(size, divisor, expected):
    assert padded_size(size, divisor) == expected


@pytest.mark.parametrize("shape", [(50, 30), (30, 50), (20, 20), (1, 1), (1, 400), (7, 9)])
def test_resize_then_normalise_then_pad(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    preprocessed = preprocess(image, SMALL)
    height, width = preprocessed.input_size
    assert preprocessed.original_size == shape
    assert preprocessed.input_size == input_size(shape, SMALL)
    assert preprocessed.padded_size == padded_size(preprocessed.input_size, 8)
    assert preprocessed.pixel_values.shape == (3, *preprocessed.padded_size)
    resized = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    expected = (resized.astype(np.float32) - SMALL.mean) / SMALL.std
    actual = preprocessed.pixel_values[:, :height, :width].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    padding = preprocessed.pixel_values.clone()
    padding[:, :height, :width] = 0
    assert not padding.any()


def test_stretching_undoes_a_narrow_range():
    wide = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    narrow = (wide // 4 + 100).astype(np.uint8)
    stretched = stretch_intensities(narrow).astype(int)
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert np.abs(stretched - wide).max() <= 5
    with_option = PreprocessingConfig(shortest_edge=60, longest_edge=60, stretch=True)
    without = PreprocessingConfig(shortest_edge=60, longest_edge=60)
    assert torch.equal(
        preprocess(narrow, with_option).pixel_values,
        preprocess(stretch_intensities(narrow), without).pixel_values,
    )


def test_a_flat_image_is_not_stretched():
    flat = np.full((4, 4, 3), 77, np.uint8)
    assert np.array_equal(stretch_intensities(flat), flat)
