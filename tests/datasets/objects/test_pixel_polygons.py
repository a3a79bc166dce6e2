"""Polygons of pixels, filled as OpenCV's `fillPoly` fills them."""

import hashlib
import random

import numpy as np
import pytest

from unimask.datasets.objects.outlines import Fill, rasterise_polygons
from unimask.datasets.objects.outlines import fill_polygons as fill_by_rule
from unimask.datasets.objects.pixel_polygons import (
    fill_polygons,
    rasterise_even_odd,
    rasterise_pixel_polygon,
    rasterise_pixel_polygons,
)
from unimask.errors import DataError

SIDE = 70


def random_polygons(low, high, count=200):
    source = random.Random(0)
    return [
        np.array(
            [source.randrange(low, high) for _ in range(2 * source.randrange(3, 9))], np.float64
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("low", "high", "digest"),
    [(0, 70, "0ee785765a576d90"), (0, 12, "5fbd1e1b1c32e088"), (-2, 71, "071cda88706bb586")],
)
def test_pixels_are_those_of_opencv(low, high, digest):
    """The digests are of the same polygons, filled by OpenCV 5.0."""
    actual = hashlib.blake2b(digest_size=8)
    for polygon in random_polygons(low, high):
        actual.update(np.packbits(fill_polygons([polygon], (SIDE, SIDE))).tobytes())
    assert actual.hexdigest() == digest


def test_a_polygon_is_filled_in_its_box_as_in_the_image():
    for polygon in random_polygons(0, SIDE, 50):
        whole = fill_polygons([polygon], (SIDE, SIDE))
        assert np.array_equal(rasterise_pixel_polygon(polygon, (SIDE, SIDE)).to_mask(), whole)


def test_the_points_of_a_square_belong_to_it():
    square = np.array([1, 1, 3, 1, 3, 3, 1, 3], np.float64)
    assert rasterise_pixel_polygons([square], (6, 6)).area == 9
    assert rasterise_pixel_polygons([square, square + 2], (7, 7)).area == 17


def test_holes_are_cut_out():
    pytest.importorskip("pycocotools.mask")
    boxes = ([1, 1, 9, 1, 9, 9, 1, 9], [3, 3, 12, 3, 12, 6, 3, 6])
    polygons = [np.array(box, np.float64) for box in boxes]
    areas = {fill: fill_by_rule(polygons, (20, 20), fill, rasterise_polygons).area for fill in Fill}
    assert areas == {Fill.UNION: 64 + 9, Fill.HOLES: 64 - 18}


def test_an_inner_polygon_is_a_hole_without_its_outline():
    """OpenCV's `fillPoly` of both: the outline of the hole belongs to the polygon."""
    boxes = ([1, 1, 7, 1, 7, 7, 1, 7], [3, 3, 5, 3, 5, 5, 3, 5])
    actual = rasterise_even_odd([np.array(box, np.float64) for box in boxes], (9, 9)).to_mask()
    expected = np.zeros((9, 9), bool)
    expected[1:8, 1:8] = True
    expected[4, 4] = False
    assert np.array_equal(actual, expected)


def test_polygons_of_endless_length_are_refused():
    zigzag = np.array([(x, (x % 2) * 9000) for x in range(3000)], np.float64).ravel()
    with pytest.raises(DataError, match="too long to fill"):
        fill_polygons([zigzag], (9001, 3000))
