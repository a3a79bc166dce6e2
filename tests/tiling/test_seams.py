"""Objects of tiles are joined so that each is counted once."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.formats.run_length import RunLength
from unimask.tiling.compose import encode_segments, paste_objects
from unimask.tiling.masks import PlacedMask
from unimask.tiling.seams import JoinedObject, ObjectJoiner, TileObject
from unimask.tiling.windows import TileGrid

SIZE, TILE, OVERLAP = (120, 150), (48, 48), (16, 16)
GRID = TileGrid.divide(SIZE, TILE, OVERLAP)


@st.composite
def scenes(draw, max_side):
    """Return an id map of rectangles, without overlaps, and the class of each."""
    ids = np.zeros(SIZE, np.int32)
    for number in range(1, draw(st.integers(1, 25)) + 1):
        height, width = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
        row = draw(st.integers(0, SIZE[0] - height))
        column = draw(st.integers(0, SIZE[1] - width))
        part = ids[row : row + height, column : column + width]
        if not part.any():
            part[:] = number
    return ids, {number: number % 3 for number in np.unique(ids[ids > 0]).tolist()}


def join(ids, classes, margin=1):
    """Join what a perfect network would predict in each tile."""
    joiner = ObjectJoiner(GRID, margin)
    for tile in GRID.tiles():
        window = tile.window
        part = ids[window.row : window.bottom, window.column : window.right]
        joiner.add(
            tile,
            [
                TileObject(
                    classes[number],
                    0.5 + number / 1000,
                    PlacedMask.crop(part == number, window.row, window.column),
                )
                for number in np.unique(part[part > 0]).tolist()
            ],
        )
    return joiner.finish()


def masks_by_score(objects):
    return {round((o.score - 0.5) * 1000): o.mask.to_image(SIZE) for o in objects}


@settings(max_examples=25, deadline=None)
@given(scenes(max_side=14), st.sampled_from([1, 3]))
def test_objects_smaller_than_the_overlap_are_found_once_and_whole(scene, margin):
    ids, classes = scene
    objects = join(ids, classes, margin)
    assert len(objects) == len(classes)
    for number, rle in masks_by_score(objects).items():
        assert rle == RunLength.from_mask(ids == number)
    assert not any(item.is_cut for item in objects) or margin > 1


@settings(max_examples=25, deadline=None)
@given(scenes(max_side=110))
def test_objects_of_any_size_are_joined_from_their_parts(scene):
    ids, classes = scene
    objects = join(ids, classes)
    assert len(objects) == len(classes)
    for number, rle in masks_by_score(objects).items():
        assert rle == RunLength.from_mask(ids == number)
    for item in objects:
        height, width = item.mask.window[2:]
        assert not (item.is_cut and height <= OVERLAP[0] and width <= OVERLAP[1])


def place(row, column, height, width):
    return PlacedMask.crop(np.ones((height, width), bool), row, column)


def tile_pair():
    grid = TileGrid.divide((48, 80), TILE, OVERLAP)
    return grid, list(grid.tiles())


def test_parts_of_different_classes_are_not_joined():
    grid, (left, right) = tile_pair()
    joiner = ObjectJoiner(grid, 1)
    joiner.add(left, [TileObject(0, 0.9, place(5, 10, 8, 38))])
    joiner.add(right, [TileObject(1, 0.8, place(5, 32, 8, 40))])
    assert [(item.label_id, item.is_cut) for item in joiner.finish()] == [(0, True), (1, True)]


def test_the_score_of_joined_parts_is_weighted_by_area():
    grid, (left, right) = tile_pair()
    joiner = ObjectJoiner(grid, 1)
    joiner.add(left, [TileObject(0, 0.9, place(5, 8, 8, 40))])
    joiner.add(right, [TileObject(0, 0.6, place(5, 32, 8, 20))])
    (item,) = joiner.finish()
    assert np.isclose(item.score, 0.8) and item.mask.window == (5, 8, 8, 44) and item.is_cut


def test_a_mask_that_ends_before_the_border_does_not_hide_that_the_object_continues():
    grid, (left, right) = tile_pair()
    joiner = ObjectJoiner(grid, 1)
    joiner.add(left, [TileObject(0, 0.9, place(5, 4, 8, 41))])
    joiner.add(right, [TileObject(0, 0.8, place(5, 32, 8, 44))])
    (item,) = joiner.finish()
    assert item.mask.window == (5, 4, 8, 72) and item.is_cut


def test_slivers_at_a_border_belong_to_the_tile_that_sees_more():
    grid, (left, right) = tile_pair()
    joiner = ObjectJoiner(grid, 1)
    joiner.add(left, [TileObject(0, 0.9, place(5, 20, 8, 14))])
    joiner.add(right, [TileObject(0, 0.8, place(3, 32, 3, 5))])
    (item,) = joiner.finish()
    assert item.score == 0.9 and item.mask.window == (5, 20, 8, 14) and not item.is_cut


def test_objects_of_one_tile_are_never_joined_with_one_object_of_another():
    grid, (left, right) = tile_pair()
    joiner = ObjectJoiner(grid, 1)
    joiner.add(
        left, [TileObject(0, 0.9, place(5, 36, 8, 8)), TileObject(0, 0.8, place(5, 36, 8, 6))]
    )
    joiner.add(right, [TileObject(0, 0.7, place(5, 36, 8, 8))])
    found = [(item.score, item.mask.window.width) for item in joiner.finish()]
    assert found == [(0.8, 6), (0.7, 8)]  # the first belongs to the right tile, as does its match


def test_objects_are_pasted_by_score_and_hidden_ones_left_out():
    ids = np.full((20, 10), -3, np.int32)
    objects = [
        JoinedObject(0, 0.9, place(0, 0, 5, 5), False),
        JoinedObject(1, 0.8, place(4, 4, 5, 5), False),
        JoinedObject(1, 0.7, place(0, 0, 5, 6), False),
    ]
    accepted = paste_objects(ids, objects, 0.8)
    assert accepted == objects[:2]
    things, stuff = encode_segments(ids, 2)
    assert [things[1].area, things[2].area, stuff[2].area] == [25, 24, 200 - 49]
