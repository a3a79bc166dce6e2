"""Linking of clips: objects keep their ids if their masks on shared frames agree."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unimask.formats.run_length import RunLength
from unimask.results.clip_object import ClipObject
from unimask.tracking.clip_linker import ClipLinker, frame_masks, tube_iou

SIZE = (24, 32)


def disc(row: float, column: float) -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 < 20


def tube(masks, label: int = 0, score: float = 0.9) -> ClipObject:
    return ClipObject(label, score, 0, tuple(RunLength.from_mask(mask) for mask in masks))


def moving(row: int, start: int, count: int, label: int = 0) -> ClipObject:
    return tube([disc(row, 4 + 2 * (start + step)) for step in range(count)], label)


@given(st.permutations(range(3)), st.integers(1, 4))
def test_objects_keep_their_ids_in_any_order(order, shared):
    linker = ClipLinker()
    assert linker.link([moving(4 + 8 * n, 0, 5) for n in range(3)], 0) == [1, 2, 3]
    later = [moving(4 + 8 * n, 5 - shared, 6) for n in order]
    assert linker.link(later, shared) == [n + 1 for n in order]


def test_objects_without_a_partner_get_new_ids():
    linker = ClipLinker()
    assert linker.link([moving(4, 0, 4)], 0) == [1]
    assert linker.link([], 2) == []
    assert linker.link([moving(4, 2, 4)], 2) == [2]
    assert linker.link([moving(20, 4, 4)], 2) == [3]
    empty = tube([np.zeros(SIZE, bool)] * 4)
    assert linker.link([empty], 2) == [4]
    assert linker.link([empty, empty], 2) == [5, 6]


def test_a_class_may_change_only_where_masks_agree_well():
    linker = ClipLinker()
    linker.link([moving(4, 0, 4, label=1)], 0)
    assert linker.link([moving(4, 2, 4, label=2)], 2) == [1]
    half = tube([np.roll(disc(4, 8 + 2 * step), 3, axis=1) for step in range(4)], 2)
    same = tube([np.roll(disc(4, 8 + 2 * step), 3, axis=1) for step in range(4)], 1)
    for item, expected in ((half, 2), (same, 1)):
        linker = ClipLinker()
        linker.link([moving(4, 0, 4, label=1)], 0)
        assert linker.link([item], 2) == [expected]
    # Of two classes of one query, each continues its own.
    linker = ClipLinker()
    linker.link([moving(4, 0, 4, label=1), moving(4, 0, 4, label=2)], 0)
    assert linker.link([moving(4, 2, 4, label=2), moving(4, 2, 4, label=1)], 2) == [2, 1]


@given(st.integers(0, 2**32 - 1))
def test_iou_is_over_all_frames_together(seed):
    random = np.random.default_rng(seed)
    one, two = (random.random((3, *SIZE)) < p for p in (0.3, 0.6))
    one[random.integers(3)] = False
    found = tube_iou(*(frame_masks(tube(masks), slice(None)) for masks in (one, two)))
    assert abs(found - (one & two).sum() / (one | two).sum()) < 1e-12
