"""Masks of Label Studio's brush, against a decoder that follows the layout bit by bit."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tool_exports import pack_brush

from unimask.datasets.objects.label_studio_rle import decode_brush
from unimask.errors import DataError


def unpack(data):
    """Decode one bit after the other, as rle-pack of thi.ng/umbrella does."""
    bits = "".join(f"{byte:08b}" for byte in data)
    position = 0

    def read(length):
        nonlocal position
        position += length
        return int(bits[position - length : position], 2)

    total, word = read(32), read(5) + 1
    lengths = [read(4) + 1 for _ in range(4)]
    values = []
    while len(values) < total:
        repeated, count = read(1), read(lengths[read(2)]) + 1
        values += [read(word)] * count if repeated else [read(word) for _ in range(count)]
    return np.array(values)


def pack(values, blocks, lengths=(3, 4, 8, 16)):
    """Pack values in blocks of the given sizes; equal values are one repeated value."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{length - 1:04b}" for length in lengths)
    start = number = 0
    while start < len(values):
        block = values[start : start + blocks[number % len(blocks)]]
        choice = next(n for n, length in enumerate(lengths) if len(block) <= 2**length)
        count = f"{len(block) - 1:0{lengths[choice]}b}"
        repeated = len(set(block)) == 1
        words = "".join(f"{value:08b}" for value in (block[:1] if repeated else block))
        bits += f"{repeated:d}{choice:02b}{count}{words}"
        start, number = start + len(block), number + 1
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.lists(st.integers(1, 90), min_size=1, max_size=9),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_any_packing_is_decoded_as_its_layout_says(size, blocks, random, is_grey):
    pixels = size[0] * size[1]
    alphas = [random.choice((0, 0, 1, 128, 255)) for _ in range(pixels)]
    colours = [[a] * 4 if is_grey else [random.randrange(3), 0, 7 * (a > 0), a] for a in alphas]
    values = [value for colour in colours for value in colour]
    data = pack(values, blocks)
    expected = unpack(data).reshape(*size, 4)[..., 3] > 0
    assert np.array_equal(decode_brush(data, size).to_mask(), expected)


def test_a_large_mask_is_decoded_at_once():
    y, x = np.mgrid[:1500, :2000]
    mask = (y - 700) ** 2 + (x - 1000) ** 2 < 650**2
    data = pack_brush(mask)
    start = time.perf_counter()
    assert np.array_equal(decode_brush(data, mask.shape).to_mask(), mask)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:-2], "ends too early"),
        (lambda data: data[:3], "ends too early"),
        (lambda data: [], "ends too early"),
        (lambda data: [0, 0, 0, 8, *data[4:]], "of 2 pixels, but its image has 3 x 2"),
        (lambda data: [*data[:7], 300, *data[8:]], "no list of bytes"),
        (lambda data: [*data[:7], 255, *data[8:]], "of more pixels than its image"),
    ],
)
def test_damaged_masks_are_named(change, reason):
    data = pack_brush(np.ones((2, 3), bool))
    with pytest.raises(DataError, match=reason):
        decode_brush(change(data), (2, 3))
