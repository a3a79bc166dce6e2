"""Masks as polygons with holes, exact and simplified, drawn again by COCO's rasteriser."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco
from scipy import ndimage

from unimask.formats.corner_polygons import join_polygons
from unimask.formats.outlines import outline_parts, signed_area, simple_parts
from unimask.formats.run_length import RunLength
from unimask.formats.simplify import vertex_tolerances

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=11))
RING = np.pad(np.zeros((2, 3), bool), 2, constant_values=True)
ISLAND = np.pad(np.pad(np.pad(np.ones((2, 2), bool), 2), 2, constant_values=True), 1)
CHESS = np.indices((5, 6)).sum(0) % 2 == 1
PINCHED = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)  # its hole touches the outside


def drawn(polygon, size):
    (encoded,) = coco.frPyObjects([np.asarray(polygon, float).ravel().tolist()], *size)
    return RunLength.from_coco(encoded).to_mask()


def fill(parts, size):
    """Draw parts, which must not overlap, each without its holes."""
    union = np.zeros(size, bool)
    for part in parts:
        pixels = drawn(part.exterior, size)
        for hole in part.holes:
            inside = drawn(hole, size)
            assert not (inside & ~pixels).any()
            pixels ^= inside
        assert not (union & pixels).any()
        union |= pixels
    return union


@pytest.mark.parametrize("parts_of_mask", [outline_parts, simple_parts])
@given(MASKS)
@example(RING)
@example(ISLAND)
@example(CHESS)
@example(~CHESS)
@example(PINCHED)
def test_exact_parts_fill_to_the_mask(parts_of_mask, mask):
    parts = parts_of_mask(RunLength.from_mask(mask))
    assert (fill(parts, mask.shape) == mask).all()


@given(MASKS)
@example(ISLAND)
@example(CHESS)
def test_each_part_has_its_own_holes(mask):
    parts = outline_parts(RunLength.from_mask(mask))
    assert len(parts) == ndimage.label(mask, np.ones((3, 3)))[1]
    holes = ndimage.label(np.pad(~mask, 1, constant_values=True))[1] - 1
    assert sum(len(part.holes) for part in parts) == holes


@given(MASKS)
@example(CHESS)
@example(~CHESS)
@example(PINCHED)
@example(np.kron(PINCHED, PINCHED))
def test_simple_parts_never_touch_themselves(mask):
    """No vertex occurs twice in a ring, and the interior of each part is connected."""
    parts = simple_parts(RunLength.from_mask(mask))
    assert len(parts) == ndimage.label(mask)[1]
    for part in parts:
        for loop in part.loops:
            assert len(set(map(tuple, loop.tolist()))) == len(loop)
            steps = np.diff(loop, axis=0, append=loop[:1])
            assert ((steps == 0).sum(1) == 1).all()
        assert ndimage.label(fill([part], mask.shape))[1] == 1


def disc(radius, wobble=0.15):
    rows, columns = np.indices((2 * radius + 12, 2 * radius + 15))
    angle = np.arctan2(rows - radius - 6, columns - radius - 7)
    distance = np.hypot(rows - radius - 6.3, columns - radius - 7.1)
    return distance < radius * (1 + wobble * np.sin(3 * angle))


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def joined(parts, size):
    """Draw the union of parts as labelling tools do, each with its holes bridged."""
    return np.any([drawn(join_polygons(list(part.loops)), size) for part in parts], axis=0)


@pytest.mark.parametrize("radius", [7, 10, 16, 30, 60, 150])
@pytest.mark.parametrize("wobble", [0, 0.15])
def test_simple_outlines_have_few_vertices_and_keep_the_mask(radius, wobble):
    mask = disc(radius, wobble)
    rle = RunLength.from_mask(mask)
    (part,), (exact,) = outline_parts(rle, "simple"), outline_parts(rle)
    assert iou(drawn(part.exterior, mask.shape), mask) >= 0.99
    assert len(part.exterior) <= 40 and len(part.exterior) <= 0.7 * len(exact.exterior)


@given(MASKS)
@example(RING)
@example(ISLAND)
def test_simplifying_loses_neither_parts_nor_holes(mask):
    rle = RunLength.from_mask(mask)
    simple, exact = outline_parts(rle, "simple"), outline_parts(rle)
    assert [len(part.holes) for part in simple] == [len(part.holes) for part in exact]
    if mask.any():
        limit = 0.99 if mask.sum() > 100 else 0.95
        assert iou(joined(simple, mask.shape), mask) >= limit


def test_holes_and_parts_are_simplified_together():
    mask = np.pad(disc(40), ((0, 0), (0, 60)))
    mask[40:52, 36:60] = False
    mask[20:60, 110:150] = disc(14)[:40, :40]
    simple = outline_parts(RunLength.from_mask(mask), "simple")
    assert sorted(len(part.holes) for part in simple) == [0, 1]
    assert iou(joined(simple, mask.shape), mask) >= 0.99
    assert sum(len(loop) for part in simple for loop in part.loops) < 70


def test_a_rectangle_keeps_its_four_corners():
    mask = np.zeros((60, 90), bool)
    mask[11:53, 17:80] = True
    (part,) = outline_parts(RunLength.from_mask(mask), "simple")
    assert part.exterior.tolist() == [[17, 11], [80, 11], [80, 53], [17, 53]]
    assert signed_area(part.exterior) == mask.sum()


def test_tolerances_are_those_of_douglas_and_peucker():
    """Vertices above a tolerance are those that the recursive algorithm keeps."""
    random = np.random.default_rng(0)

    def recursive(points, tolerance):
        start, end = points[0], points[-1]
        direction = end - start
        length = (direction**2).sum()
        shares = np.clip((points - start) @ direction / (length or 1), 0, 1)
        distances = np.hypot(*(points - start - shares[:, None] * direction).T)
        place = int(distances.argmax())
        if distances[place] <= tolerance:
            return [start.tolist()]
        return recursive(points[: place + 1], tolerance) + recursive(points[place:], tolerance)

    for _ in range(20):
        loop = random.uniform(0, 10, (40, 2))
        farthest = int(((loop - loop[0]) ** 2).sum(1).argmax())
        closed = np.concatenate([loop, loop[:1]])
        for tolerance in (0.5, 2.0, 5.0):
            expected = recursive(closed[: farthest + 1], tolerance)
            expected += recursive(closed[farthest:], tolerance)
            assert loop[vertex_tolerances(loop) > tolerance].tolist() == expected


def test_an_empty_mask_has_no_parts():
    rle = RunLength.from_mask(np.zeros((4, 5), bool))
    assert outline_parts(rle) == outline_parts(rle, "simple") == simple_parts(rle) == []
