"""Colours of label maps as numbers."""

import tracemalloc

import numpy as np

from unimask.datasets.maps.label_map import format_hex, pack_colours


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
