from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimask.formats.run_length import RunLength
from unimask.label_sets import known_labels
from unimask.visualization.chips import Chip, boxes_overlap, load_font, place_chips
from unimask.visualization.overlay import DrawnSegment, draw_overlay, inner_border
from unimask.visualization.palette import class_colour, from_oklch, object_colour, to_oklch


def shape(mask, *, label_id=0, counted=True, score=0.9, colour=None):
    rle = RunLength.from_mask(mask)
    return DrawnSegment(f"class {label_id}", label_id, counted, score, rle.box, *rle.runs, colour)


def disc(size, centre, radius):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2


def test_a_class_keeps_its_colour_and_neighbours_differ():
    assert class_colour(3) == class_colour(3)
    colours = [np.array(class_colour(i), float) for i in range(40)]
    apart = [np.abs(a - b).sum() for a, b in pairwise(colours)]
    assert min(apart) > 60
    assert len({object_colour(0, number) for number in range(12)}) == 12


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_colours_round_trip_through_oklch(colour):
    assert tuple(from_oklch(to_oklch(np.array(colour, np.uint8)))) == colour


CITYSCAPES = [colour for colour in known_labels("cityscapes").colours if colour is not None]


@pytest.mark.parametrize("colour", CITYSCAPES)
def test_objects_of_a_given_colour_differ_and_keep_its_hue(colour):
    assert class_colour(5, colour) == object_colour(5, 0, colour) == colour
    shades = [object_colour(5, number, colour) for number in range(1, 9)]
    assert len(set(shades)) == 8
    ours = to_oklch(np.array(colour, np.uint8))
    for other in shades:
        lightness, chroma, hue = to_oklch(np.array(other, np.uint8))
        assert abs(lightness - ours[0]) < 0.2
        turned = abs((hue - ours[2] + 180) % 360 - 180)
        assert min(chroma, ours[1]) < 0.03 or turned < 30


def test_given_colours_are_drawn():
    image = np.full((720, 800, 3), 90, np.uint8)
    road = np.zeros((720, 800), bool)
    road[400:] = True
    purple = (128, 64, 128)
    drawn = draw_overlay(image, [shape(road, counted=False, colour=purple)])
    filled = np.array(drawn)[600, 400].astype(float)
    np.testing.assert_allclose(filled, 0.55 * 90 + 0.45 * np.array(purple), atol=1)
    legend = np.array(drawn)[:, 800:].reshape(-1, 3)
    assert (legend == purple).all(1).any()
    plain = draw_overlay(image, [shape(road, counted=False)], legend=False)
    assert (np.array(plain)[600, 400] != np.array(drawn)[600, 400]).any()


@pytest.mark.parametrize("ground", [0, 128, 255])
@pytest.mark.parametrize("colour", [None, (0, 0, 70)])
def test_shapes_stand_out_on_any_ground(ground, colour):
    image = np.full((800, 900, 3), ground, np.uint8)
    mask = disc((800, 900), (300, 300), 120)
    drawn = np.asarray(draw_overlay(image, [shape(mask, colour=colour)], legend=False), float)
    border = inner_border(mask.astype(np.int32), 1)
    border[180:440, 180:420] &= ~disc((800, 900), (300, 300), 100)[180:440, 180:420]
    assert np.abs(drawn[border] - ground).sum(1).mean() > 90
    assert (drawn[~mask] == ground).all()


def test_small_images_are_enlarged_and_the_legend_has_its_own_place():
    image = np.zeros((64, 64, 3), np.uint8)
    drawn = draw_overlay(image, [shape(disc((64, 64), (20, 20), 9))])
    assert drawn.height >= 640 and drawn.width > drawn.height


def test_small_shapes_lie_on_top():
    image = np.zeros((800, 800, 3), np.uint8)
    large, small = disc((800, 800), (400, 400), 300), disc((800, 800), (400, 400), 40)
    first = np.asarray(draw_overlay(image, [shape(large), shape(small)], legend=False))
    second = np.asarray(draw_overlay(image, [shape(small), shape(large)], legend=False))
    assert (first[400, 365] != first[400, 200]).any()
    assert (second[400, 365] != second[400, 200]).any()


def test_labels_neither_overlap_nor_leave_the_image():
    random = np.random.default_rng(0)
    chips = [
        Chip("nucleus 90%", (x, y, x + 30, y + 30), (200, 80, 80))
        for x, y in random.uniform(0, 380, (60, 2))
    ]
    placed = place_chips(chips, load_font(14), (400, 400))
    assert 10 < len(placed) < 60
    boxes = [box for _, box in placed]
    for index, box in enumerate(boxes):
        assert box[0] >= 0 and box[1] >= 0 and box[2] <= 400 and box[3] <= 400
        assert not any(boxes_overlap(box, other) for other in boxes[:index])


def test_a_crowd_of_375_is_drawn_without_labels():
    size = (600, 700)
    image = np.zeros((*size, 3), np.uint8)
    masks = [disc(size, (20 + 30 * (i // 22), 20 + 30 * (i % 22)), 11) for i in range(375)]
    drawn = np.asarray(draw_overlay(image, [shape(mask) for mask in masks], legend=False))
    outside = ~np.any(masks, axis=0)
    assert not drawn[outside].any()


def test_one_pixel_can_be_drawn():
    assert draw_overlay(np.zeros((1, 1, 3), np.uint8), [shape(np.ones((1, 1), bool))]).height >= 1
