"""Colours of label maps as numbers."""

import tracemalloc
from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from unimask.datasets.maps.classes import Classes
from unimask.datasets.maps.label_map import format_hex, pack_colours
from unimask.datasets.maps.sampled_maps import count_values
from unimask.labels import LabelSet
from unimask.processing import value_ranges


def test_colours_are_packed_as_their_hexadecimal_names():
    assert format_hex(int(pack_colours(np.array([1, 254, 32], np.uint8)))) == "#01fe20"
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    names = [[format_hex(code) for code in row] for row in pack_colours(image).tolist()]
    assert names == [["#" + bytes(colour).hex() for colour in row] for row in image]


def test_packing_a_large_map_takes_little_more_than_its_result():
    image = np.zeros((1000, 4000, 3), np.uint8)
    tracemalloc.start()
    codes = pack_colours(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * codes.nbytes


@given(
    codes=arrays.arrays(
        st.sampled_from([np.int32, np.uint8, np.uint16]),
        arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=40),
        elements=st.integers(0, 5),
    ),
    rows=st.integers(1, 9),
)
def test_values_counted_strip_by_strip_are_those_of_the_whole_map(codes, rows):
    with mock.patch.object(value_ranges, "STRIP_VALUES", rows * max(1, codes.shape[1])):
        values, counts = count_values(codes)
    expected = np.unique(codes, return_counts=True)
    assert np.array_equal(values, expected[0]) and np.array_equal(counts, expected[1])
    assert values.dtype == codes.dtype


def test_colours_of_a_large_map_are_looked_up_in_little_memory(tmp_path):
    path = tmp_path / "map.png"
    Image.fromarray(np.full((1000, 4000, 3), (9, 0, 0), np.uint8)).save(path)
    labels = LabelSet(("sky", "road"), (False, False))
    classes = Classes(labels, {0x090000: 1, 0x0A0000: 0}, coloured=True, notes="")
    tracemalloc.start()
    ids = classes.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (ids == 1).all() and peak < 12 * ids.size + 2**25
