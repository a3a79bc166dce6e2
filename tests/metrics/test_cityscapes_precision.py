"""Corner cases of Cityscapes' AP; `benchmarks/agreement/cityscapes.py` compares the authors'."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.metrics import CityscapesPrecision, Objects

LABELS = LabelSet(("car", "person", "truck"), (True,) * 3)
SIZE = (20, 30)


def mask(rows: int, columns: int, top: int = 0, left: int = 0) -> RunLength:
    dense = np.zeros(SIZE, bool)
    dense[top : top + rows, left : left + columns] = True
    return RunLength.from_mask(dense)


def objects(*found) -> Objects:
    """Return objects of masks, labels, and scores; a score of None makes a group."""
    return Objects.from_masks(
        [mask for mask, *_ in found],
        [label for _, label, _ in found],
        scores=[score or 0.0 for *_, score in found],
        crowds=[score is None for *_, score in found],
    )


def scores_of(predicted, truth, void=None):
    precision = CityscapesPrecision(LABELS)
    precision.update(objects(*predicted), objects(*truth), void)
    return precision.compute() | {"classes": precision.per_class()}


CAR, NOTHING = mask(10, 12), mask(0, 0)
UNDEFINED = {"AP": None, "AP50": None}


@pytest.mark.parametrize(
    ("predicted", "truth"),
    [
        ([], []),
        ([(CAR, 0, 0.5)], []),
        ([(NOTHING, 0, 0.5)], [(NOTHING, 0, 1.0)]),
        ([(CAR, 0, 0.5)], [(mask(9, 11), 0, 1.0)]),  # 99 pixels
        ([(CAR, 0, 0.5)], [(CAR, 0, None)]),
    ],
)
def test_without_objects_to_be_found_nothing_is_defined(predicted, truth):
    assert scores_of(predicted, truth) == UNDEFINED | {
        "classes": dict.fromkeys(LABELS.names, UNDEFINED)
    }
    assert CityscapesPrecision(LABELS).compute() == UNDEFINED


def test_absent_classes_do_not_count():
    found = scores_of([(CAR, 0, 0.5), (CAR, 1, 0.9)], [(CAR, 0, 1.0)])
    assert found["AP"] == 100 and found["classes"]["person"] == UNDEFINED


def test_missed_objects_score_zero():
    """Without true or false positives, the authors' script crashes."""
    void = mask(10, 10, 10, 10)
    assert scores_of([], [(CAR, 0, 1.0)])["AP"] == 0
    assert scores_of([(void, 0, 0.9)], [(CAR, 0, 1.0)], void)["AP"] == 0
    everything = RunLength.from_mask(np.ones(SIZE, bool))
    assert scores_of([(CAR, 0, 0.9)], [(CAR, 0, 1.0)], everything)["AP"] == 100


def test_duplicate_detections_are_false_positives():
    """Points (recall, precision) are (0, 1), (1, 1) and (1, 1/2), or just (1, 1/2) if equal."""
    twice = [(CAR, 0, 0.9), (CAR, 0, 0.8)]
    assert scores_of(twice, [(CAR, 0, 1.0)])["AP"] == 100
    assert scores_of([(CAR, 0, 0.9)] * 2, [(CAR, 0, 1.0)])["AP"] == pytest.approx(75)
    first_wrong = [(CAR, 0, 0.9), (mask(10, 10, 10, 20), 0, 0.95)]
    assert scores_of(first_wrong, [(CAR, 0, 1.0)])["AP"] == pytest.approx(25)


def test_an_overlap_must_be_exceeded():
    half = mask(5, 24)
    assert scores_of([(mask(5, 12), 0, 0.9)], [(half, 0, 1.0)])["AP50"] == 0
    assert scores_of([(mask(5, 13), 0, 0.9)], [(half, 0, 1.0)])["AP50"] == 100


def test_detections_on_groups_of_their_class_are_ignored():
    group, stray = mask(10, 12, 10, 0), mask(10, 5, 10, 0)
    for label, expected in ((0, 100), (1, 25)):
        truth = [(CAR, 0, 1.0), (group, label, None)]
        assert scores_of([(CAR, 0, 0.5), (stray, 0, 0.9)], truth)["AP"] == pytest.approx(expected)


def random_objects(random: np.random.Generator, count: int) -> list:
    return [
        (
            mask(*random.integers(1, 16, 2), *random.integers(0, (12, 18))),
            int(random.integers(2)),
            [None, 0.25, 0.5, 0.75][random.integers(4)],
        )
        for _ in range(count)
    ]


@given(st.integers(0, 10_000), st.integers(0, 8), st.integers(0, 5))
def test_scores_are_percentages_independent_of_order(seed, found, true):
    random = np.random.default_rng(seed)
    predicted = [(m, label, score or 0.1) for m, label, score in random_objects(random, found)]
    truth = random_objects(random, true)
    void = mask(*random.integers(0, 20, 2))
    scores = scores_of(predicted, truth, void)
    assert scores == scores_of(predicted[::-1], truth[::-1], void)
    for value in (scores["AP"], scores["AP50"]):
        assert value is None or 0 <= value <= 100
    counting = {label for m, label, score in truth if score and m.area >= 100}
    assert (scores["AP"] is None) == (not counting)
    for label, name in enumerate(LABELS.names):
        assert (scores["classes"][name]["AP"] is None) == (label not in counting)


def test_drawn_curves_match_the_computed_area():
    precision = CityscapesPrecision(LABELS)
    found = [(CAR, 0, 0.9), (mask(10, 10, 10, 20), 0, 0.95)]
    precision.update(objects(*found), objects((CAR, 0, 1.0), (mask(10, 10, 10, 0), 0, 1.0)))
    drawn = precision.precisions()[0, 0]
    # Points are (0, 1), (0, 0) and (1/2, 1/2).
    assert drawn[[25, 50]] == pytest.approx([0.25, 0.5]) and not drawn[51:].any()
    assert np.isnan(precision.precisions()[1]).all()
