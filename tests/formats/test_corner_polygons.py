"""Polygons through the corners of pixels, compared with the mask and COCO's rasteriser."""

import numpy as np
from hypothesis import example, given
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco
from scipy import ndimage

from unimask.formats.corner_polygons import corner_polygons, join_polygons
from unimask.formats.run_length import RunLength

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9))
RING = np.pad(np.zeros((2, 3), bool), 2, constant_values=True)
CHESS = np.indices((5, 6)).sum(0) % 2 == 1


def drawn(polygon, size):
    """Rasterise polygons with pycocotools."""
    (encoded,) = coco.frPyObjects([polygon.ravel().astype(float).tolist()], *size)
    return RunLength.from_coco(encoded).to_mask()


@given(MASKS)
@example(RING)
@example(CHESS)
@example(~CHESS)
@example(np.ones((4, 7), bool))
def test_polygons_fill_to_the_mask_by_the_even_odd_rule(mask):
    again = np.zeros_like(mask)
    for polygon in corner_polygons(mask):
        again ^= drawn(polygon, mask.shape)
    assert (again == mask).all()


@given(MASKS)
@example(RING)
@example(CHESS)
def test_each_part_and_each_hole_has_one_polygon(mask):
    parts = ndimage.label(mask, np.ones((3, 3)))[1]
    holes = ndimage.label(np.pad(~mask, 1, constant_values=True))[1] - 1
    assert len(corner_polygons(mask)) == parts + holes


@given(MASKS)
@example(RING)
@example(CHESS)
@example(np.kron(np.eye(3, dtype=bool), RING))
def test_joined_polygons_fill_to_the_same_mask(mask):
    polygons = corner_polygons(mask)
    if polygons:
        assert (drawn(join_polygons(polygons), mask.shape) == mask).all()


@given(MASKS)
def test_polygons_turn_at_every_corner_and_start_at_the_highest(mask):
    for polygon in corner_polygons(mask):
        steps = np.diff(polygon, axis=0, append=polygon[:1])
        assert ((steps == 0).sum(1) == 1).all() and (steps[0] > 0).tolist() == [True, False]
        assert (steps[:-1, 0] == 0).tolist() == (steps[1:, 0] != 0).tolist()
        assert tuple(polygon[0][::-1]) == min(map(tuple, polygon[:, ::-1].tolist()))


def test_one_part_without_holes_is_left_as_it_is():
    (polygon,) = corner_polygons(np.ones((2, 3), bool))
    assert polygon.tolist() == [[0, 0], [3, 0], [3, 2], [0, 2]]
    assert join_polygons([polygon]).tolist() == polygon.tolist()
