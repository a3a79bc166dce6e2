from collections.abc import Sequence

import numpy as np
import pytest

from unimask.errors import SettingsError
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.results import Result, Segment
from unimask.tracking import Tracker, TrackerSettings

LABELS = LabelSet(("car", "bus", "road"), (True, True, False))
SIZE = (60, 200)


def box_mask(row: float, column: float, height: int = 10, width: int = 20) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    top, left = round(row), round(column)
    mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = True
    return mask


def result(
    masks: Sequence[np.ndarray], label_ids: Sequence[int] | None = None, task="instance", score=0.9
) -> Result:
    label_ids = label_ids or [0] * len(masks)
    segments = [
        Segment.from_rle(LABELS, label, RunLength.from_mask(mask), id=number, score=score)
        for number, (mask, label) in enumerate(zip(masks, label_ids, strict=True), start=1)
    ]
    return Result(task, SIZE, LABELS, tuple(segments))


def ids(tracked: Result) -> list[int | None]:
    return [segment.track_id for segment in tracked.segments]


def visible(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Hide each mask behind those before it."""
    hidden, parts = np.zeros(SIZE, bool), []
    for mask in masks:
        parts.append(mask & ~hidden)
        hidden |= mask
    return parts


def test_cars_that_pass_behind_one_another_keep_their_ids():
    tracker = Tracker()
    for frame in range(40):
        front, back = box_mask(20, 4 * frame), box_mask(22, 170 - 4 * frame)
        masks = [mask for mask in visible([front, back]) if mask.any()]
        tracked = tracker.update(result(masks))
        assert ids(tracked)[0] == 1
        assert frame < 10 or len(masks) < 2 or ids(tracked)[1] == 2


@pytest.mark.parametrize(("hidden", "same"), [(12, True), (35, False)])
def test_an_object_returns_to_its_track_until_the_track_ends(hidden, same):
    tracker = Tracker()
    speed = 2
    for frame in range(20):
        tracker.update(result([box_mask(20, speed * frame)]))
    for _ in range(hidden):
        assert ids(tracker.update(result([]))) == []
    for frame in range(20 + hidden, 23 + hidden):
        tracked = tracker.update(result([box_mask(20, speed * frame)]))
    assert ids(tracked) == [1 if same else 2]


def test_a_car_below_a_roof_is_followed_by_its_visible_end():
    # The middle of the visible part moves at half the car's speed while it enters and leaves.
    tracker = Tracker()
    roof = np.zeros(SIZE, bool)
    roof[:, 80:130] = True
    seen = set()
    for frame in range(50):
        mask = box_mask(20, 4 * frame, 10, 24) & ~roof
        if mask.any():
            seen.update(ids(tracker.update(result([mask]))))
        else:
            tracker.update(result([]))
    assert seen == {1}


def test_new_objects_get_an_id_after_several_confident_results():
    tracker = Tracker(TrackerSettings(birth_steps=3))
    assert ids(tracker.update(result([box_mask(0, 0)]))) == [1]
    second = [ids(tracker.update(result([box_mask(0, 0), box_mask(40, 100)])))[1] for _ in range(4)]
    assert second == [None, None, 2, 2]
    # An object seen once, and one below the minimum score, get none.
    tracker.update(result([box_mask(0, 0), box_mask(40, 100), box_mask(40, 20)]))
    tracker.update(result([box_mask(0, 0), box_mask(40, 100)]))
    assert tracker.last_id == 2
    weak = Tracker()
    for _ in range(4):
        assert ids(weak.update(result([box_mask(0, 0)], score=0.3))) == [None]


def test_stuff_and_semantic_classes_have_one_id_each():
    tracker = Tracker()
    first = tracker.update(result([box_mask(0, 0), box_mask(40, 0)], [2, 0], "panoptic"))
    second = tracker.update(result([box_mask(40, 2), box_mask(0, 90)], [0, 2], "panoptic"))
    assert ids(second) == ids(first)[::-1] and len(set(ids(first))) == 2
    tracker = Tracker()
    parts = [box_mask(0, 0) | box_mask(40, 150), box_mask(20, 20)]
    first = tracker.update(result(parts, [0, 2], "semantic", None))
    second = tracker.update(result([parts[1]], [0], "semantic", None))
    assert ids(first) == [1, 2] and ids(second) == [1]


def test_embeddings_decide_where_positions_do_not():
    appearances = np.eye(2)
    start = [box_mask(20, 60), box_mask(20, 84)]
    swapped = [box_mask(20, 70), box_mask(20, 73)]  # both are close to both predictions
    for embeddings, expected in ((appearances, [1, 2]), (appearances[::-1], [2, 1])):
        tracker = Tracker(TrackerSettings(embedding_weight=3))
        tracker.update(result(start), list(appearances))
        tracker.update(result(start), list(appearances))
        assert ids(tracker.update(result(swapped), list(embeddings))) == expected


def test_a_class_that_alternates_does_not_end_a_track():
    tracker = Tracker()
    for frame in range(8):
        tracked = tracker.update(result([box_mask(20, 3 * frame)], [frame % 2]))
        assert ids(tracked) == [1]
    # Another class beside a track does not continue it.
    assert ids(tracker.update(result([box_mask(20, 50)], [2])))[0] != 1


def test_tracks_of_unequal_steps_continue():
    tracker = Tracker()
    time = 0.0
    for step in [1, 1, 1, 3, 1, 2, 5, 1]:
        time += step
        assert ids(tracker.update(result([box_mask(20, 8 * time)]), step=step)) == [1]


def test_memory_does_not_grow():
    tracker = Tracker(TrackerSettings(birth_steps=1, max_missing=5))
    random = np.random.default_rng(0)
    counts = []
    for _ in range(300):
        places = random.uniform((0, 0), (50, 180), (3, 2))
        tracker.update(result([box_mask(*place) for place in places]))
        counts.append(len(tracker.tracks))
    assert max(counts[200:]) <= 3 * 6 and tracker.last_id > 200


def test_wrong_arguments():
    tracker = Tracker()
    tracker.update(result([box_mask(0, 0)]))
    with pytest.raises(SettingsError, match="one each"):
        tracker.update(result([box_mask(0, 0)]), [])
    with pytest.raises(SettingsError, match="positive"):
        tracker.update(result([]), step=0)
    with pytest.raises(SettingsError, match="use a new Tracker"):
        tracker.update(Result("instance", (8, 8), LABELS, ()))
    for values in ({"birth_steps": 0}, {"birth_score": 2}, {"embedding_weight": -1}):
        with pytest.raises(SettingsError):
            TrackerSettings(**values)
