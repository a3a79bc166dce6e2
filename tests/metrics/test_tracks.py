"""AP of tracks against TrackEval, which implements YouTube-VIS' evaluator."""

import importlib.util

import numpy as np
import pytest

from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.metrics.tracks import TRACK_AREAS, TrackPrecision, build_tracks, join_frames

LABELS = LabelSet(("person", "dog"), (True, True))
SIZE, LENGTH = (300, 320), 4


def draw_tracks(random: np.random.Generator, count: int) -> list[dict[int, RunLength]]:
    """Draw boxes of all ranges of areas that move, and are hidden in some frames."""
    tracks = []
    for _ in range(count):
        side = random.integers(40, 290)
        place, speed = random.integers(0, 300 - side + 1, 2), random.integers(-8, 9, 2)
        masks = {}
        for frame in range(LENGTH):
            top, left = (int(value) for value in (place + frame * speed).clip(0, 299))
            mask = np.zeros(SIZE, bool)
            mask[top : top + side, left : left + side] = True
            if random.random() < 0.8 or not masks:
                masks[frame] = RunLength.from_mask(mask)
        tracks.append(masks)
    return tracks


def disturb(random: np.random.Generator, masks: dict[int, RunLength]) -> dict[int, RunLength]:
    """Move the masks of a track, and leave some out."""
    moved = {}
    down, right = random.integers(-9, 10, 2)
    for frame, rle in masks.items():
        if random.random() < 0.9 or not moved:
            mask = np.roll(rle.to_mask(), (down, right), (0, 1))
            moved[frame] = RunLength.from_mask(mask)
    return moved


def draw_videos(seed: int, count: int = 12):
    random = np.random.default_rng(seed)
    for _ in range(count):
        truth = draw_tracks(random, 5)
        predicted = [disturb(random, masks) for masks in truth if random.random() < 0.9]
        predicted += draw_tracks(random, 3)
        labels = [random.integers(0, 2, len(tracks)).tolist() for tracks in (truth, predicted)]
        labels[1][: min(4, len(truth))] = labels[0][: min(4, len(truth))]
        scores = random.permutation(len(predicted)) / len(predicted) + 0.001 * random.random()
        yield truth, labels[0], predicted, labels[1], scores


@pytest.mark.extra
@pytest.mark.skipif(importlib.util.find_spec("trackeval") is None, reason="needs trackeval")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(3))
def test_ap_and_ar_equal_those_of_trackeval(seed):
    from trackeval.metrics import TrackMAP

    ranges = [list(limits) for limits in list(TRACK_AREAS.values())[1:]]
    reference = TrackMAP({"USE_TIME_RANGES": False, "AREA_RANGES": ranges, "PRINT_CONFIG": False})
    metric = TrackPrecision(LABELS)
    by_class = {label: {} for label in range(2)}
    for number, (truth, labels, predicted, guesses, scores) in enumerate(draw_videos(seed)):
        metric.update(
            build_tracks(predicted, guesses, SIZE, LENGTH, scores=scores),
            build_tracks(truth, labels, SIZE, LENGTH),
        )
        for label, results in by_class.items():
            order = [row for row in np.argsort(-scores) if guesses[row] == label]
            rows = [row for row, value in enumerate(labels) if value == label]
            data = {
                **tracks_of(truth, rows, "gt"),
                **tracks_of(predicted, order, "dt"),
                "dt_track_scores": [float(scores[row]) for row in order],
                "gt_track_iscrowd": [0] * len(rows),
                "iou_type": "mask",
            }
            results[f"video{number}"] = reference.eval_sequence(data)
    classes = {
        str(label): reference.combine_sequences(results) for label, results in by_class.items()
    }
    expected = reference.combine_classes_class_averaged(classes)
    scores = metric.compute()
    for suffix, name in (("", "all"), ("s", "area_s"), ("m", "area_m"), ("l", "area_l")):
        assert scores[f"AP{suffix}"] == pytest.approx(100 * expected[f"AP_{name}"].mean())
        ours = scores[f"AR{suffix or 100}"]
        assert ours == pytest.approx(100 * expected[f"AR_{name}"].mean())
    assert 20 < scores["AP"] < 95


def tracks_of(tracks, rows, prefix):
    """Describe some tracks as TrackEval does."""
    return {
        f"{prefix}_track_ids": [row + 1 for row in rows],
        f"{prefix}_tracks": [
            {frame: mask.to_coco() for frame, mask in tracks[row].items()} for row in rows
        ],
        f"{prefix}_track_areas": [
            np.mean([mask.area for mask in tracks[row].values()]) for row in rows
        ],
        f"{prefix}_track_lengths": [len(tracks[row]) for row in rows],
    }


def test_the_iou_of_tracks_is_the_sum_of_intersections_over_the_sum_of_unions():
    left, right = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    left[:, :3], right[:, 1:4] = True, True
    masks = [RunLength.from_mask(mask) for mask in (left, right)]
    truth = build_tracks([{0: masks[0], 2: masks[0]}], [0], (4, 6), 3)
    predicted = build_tracks([{0: masks[1], 1: masks[1]}], [0], (4, 6), 3, scores=[0.9])
    metric = TrackPrecision(LABELS, thresholds=[8 / 40 - 1e-6, 8 / 40 + 1e-6])
    metric.update(predicted, truth)
    assert metric.compute()["AP"] == pytest.approx(50)
    assert truth.areas.tolist() == [12]
    assert join_frames({}, (4, 6), 3).area == 0
