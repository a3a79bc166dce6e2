"""Segment ids encoded as colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from unimask.errors import OutputError
from unimask.formats.panoptic_png import MAX_ID, decode_ids, encode_ids

shapes = array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9)


@given(arrays(np.int32, shapes, elements=st.integers(0, MAX_ID)))
def test_ids_round_trip(ids):
    colours = encode_ids(ids)
    assert colours.dtype == np.uint8
    assert colours.shape == (*ids.shape, 3)
    assert np.array_equal(decode_ids(colours), ids)


def test_colours_follow_cocos_encoding():
    assert encode_ids(np.array([[1 + 2 * 256 + 3 * 65536]])).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("number", [-1, MAX_ID + 1])
def test_ids_beyond_three_bytes_are_refused(number):
    with pytest.raises(OutputError, match="renumber"):
        encode_ids(np.array([[number]]))
