"""Objects of many images: rasterised like pycocotools, or refused."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from unimask.datasets.objects.annotations import AnnotationBuilder, from_fifths, to_fifths
from unimask.datasets.objects.outlines import read_polygons
from unimask.errors import DataError
from unimask.formats.run_length import RunLength

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools
coco = pytest.importorskip("pycocotools.mask")

SIZE = (23, 31)
COORDINATES = st.integers(-10, 350).map(lambda value: value / 10) | st.floats(-1, 33)
POLYGONS = st.lists(st.lists(COORDINATES, min_size=6, max_size=20), min_size=1, max_size=3)


def collect(*masks, sizes=(SIZE,)):
    collector = AnnotationBuilder()
    for name, mask in enumerate(masks):
        parts = mask if isinstance(mask, RunLength) else read_polygons(mask)
        collector.add(0, 0, name, parts)
    return collector.finish(np.array(sizes), lambda image, name: f"object {name}")


@given(POLYGONS)
def test_polygons_are_drawn_as_pycocotools_draws_them(polygons):
    polygons = [polygon[: len(polygon) // 2 * 2] for polygon in polygons]
    assume(max(map(max, polygons)) > 1)  # smaller values are refused as relative coordinates
    theirs = coco.decode(coco.merge(coco.frPyObjects(polygons, *SIZE))).astype(bool)
    annotations = collect(polygons, sizes=[(0, 0)])
    assert np.array_equal(annotations.mask(0, SIZE).to_mask(), theirs)


@given(st.floats(-1e6, 1e6))
def test_fifths_round_trip(value):
    fifths = to_fifths(np.array([value, -value, 0.7, -0.7]))
    assert np.array_equal(to_fifths(from_fifths(fifths)), fifths)


@given(st.integers(0, 2**32 - 1))
def test_run_lengths_round_trip(seed):
    mask = np.random.default_rng(seed).random(SIZE) < 0.5
    annotations = collect(RunLength.from_mask(mask), [[1, 1, 9, 1, 9, 9]], sizes=[SIZE])
    assert np.array_equal(annotations.mask(0, SIZE).to_mask(), mask)
    assert annotations.mask(1, SIZE).area > 20


def test_objects_are_found_by_image_whatever_their_order():
    collector = AnnotationBuilder()
    for name, image in enumerate([2, 0, 2, 1, 0]):
        collector.add(image, name, name, read_polygons([[1, 1, 9, 1, 9, 9]]))
    annotations = collector.finish(np.zeros((4, 2), int), lambda image, name: "")
    assert [annotations.objects_of_image(image).tolist() for image in range(4)] == [
        [1, 4],
        [3],
        [0, 2],
        [],
    ]


@pytest.mark.parametrize(
    ("polygon", "reason"),
    [
        ([1, 1, 9, 1, 9, "a"], "not numbers"),
        ([1, 1, 9, 1, 9, float("nan")], "cannot lie in an image"),
        ([1, 1, 9, 1, 9, 1e12], "cannot lie in an image"),
        ([1, 1, 9, 1, 9, 9, 9], "not a list x0, y0"),
        ([[1, 1, 0], [9, 1, 0], [9, 9, 0]], "not a list x0, y0"),
        ([1, 1, 9, 1, 9, 10**400], "not numbers"),
        ([1, 1, 9, 1, 9, None], "cannot lie in an image"),
        ({"all_points_x": [1]}, "not numbers"),
    ],
)
def test_invalid_polygons_are_refused(polygon, reason):
    with pytest.raises(DataError, match=reason):
        read_polygons([polygon])


def test_outlines_without_area_are_left_out():
    assert read_polygons([[], [1, 1, 9, 9]]) == []


@pytest.mark.parametrize("far", [[1, 1, 40, 1, 9, 9], [-9, 1, 9, 1, 9, 9], [32, 1, 33, 1, 33, 9]])
def test_objects_outside_of_their_image_are_named(far):
    with pytest.raises(DataError, match=r"^object 1 reaches .* its image has 31 x 23"):
        collect([[1, 1, 9, 1, 9, 9]], [far])


def test_a_mask_of_another_size_is_named():
    mask = RunLength.from_mask(np.ones((31, 23), bool))
    with pytest.raises(DataError, match=r"^object 0 has a mask of 23 x 31 pixels"):
        collect(mask)
    unknown = collect(mask, sizes=[(0, 0)])
    with pytest.raises(DataError, match="has a mask of 31 x 23"):
        unknown.mask(0, SIZE)
