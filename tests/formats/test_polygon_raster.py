"""The rasteriser equals that of pycocotools to the pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from unimask.formats.polygon_raster import rasterise
from unimask.formats.run_length import RunLength

SIDE = 20
COORDINATES = st.floats(0, SIDE) | st.integers(0, 2 * SIDE).map(lambda half: half / 2)
POLYGONS = arrays(np.float64, st.tuples(st.integers(3, 12), st.just(2)), elements=COORDINATES)


def drawn(polygon):
    (encoded,) = coco.frPyObjects([polygon.ravel().tolist()], SIDE, SIDE)
    return RunLength.from_coco(encoded).to_mask()


@given(POLYGONS)
def test_every_pixel_is_that_of_pycocotools(polygon):
    assert (rasterise([polygon], (0, 0, SIDE, SIDE)) == drawn(polygon)).all()


@given(POLYGONS, POLYGONS)
def test_several_polygons_follow_the_even_odd_rule(first, second):
    both = rasterise([first, second], (0, 0, SIDE, SIDE))
    assert (both == (drawn(first) ^ drawn(second))).all()


@given(arrays(np.float64, st.tuples(st.integers(3, 8), st.just(2)), elements=st.floats(5, 15)))
def test_a_box_around_the_polygon_shows_the_same_pixels(polygon):
    assert (rasterise([polygon], (3, 5, 15, 17)) == drawn(polygon)[5:17, 3:15]).all()


@pytest.mark.parametrize("polygons", [[], [np.zeros((3, 2))]])
def test_empty_polygons_are_empty(polygons):
    assert not rasterise(polygons, (0, 0, 3, 2)).any()
