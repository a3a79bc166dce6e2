"""Average precision of instances by Cityscapes' rule (Cordts et al. 2016).

The numbers are those of cityscapesscripts' `evaluation/evalInstanceLevelSemanticLabeling.py`.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.metrics.average_precision import RECALLS
from unimask.metrics.object_ious import boxes_meet, shared_pixels, shared_with, shares
from unimask.metrics.objects import Objects
from unimask.metrics.panoptic_quality import mean_percent

OVERLAPS = np.arange(0.5, 1.0, 0.05)
"""IoUs that a match must exceed. Not 0.5, 0.55, ...: at ties, the last digit of these decides."""

LEAST_AREA = 100
"""Pixels of the smallest objects that count."""


class CityscapesPrecision:
    """AP and AP50 over pictures: of each detection only its score and its match counts stay.

    An object counts if it is no group and has at least `LEAST_AREA` pixels. At each overlap, the
    surest detection whose IoU with it exceeds that is right, and others of it are wrong. One that
    exceeds it with no object at all is wrong too, unless a greater share of it than the overlap
    lies on void, on groups and on small objects of its class. AP is the area under the straight
    lines between the points (recall, precision), one for each score that occurs, and (0, 1).

    There is no limit to the number of detections, and no order among equal scores.

    Args:
        labels: Classes; all of them can be found.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels, self.thresholds = labels, OVERLAPS
        self.truths = np.zeros(len(labels), np.int64)
        counts = [(name, "u2", (len(OVERLAPS),)) for name in ("right", "wrong")]
        self.kind = np.dtype([("score", "f8"), ("label", "i4"), *counts])
        self.rows: list[np.ndarray] = []

    def update(self, predicted: Objects, truth: Objects, void: RunLength | None = None) -> None:
        """Add a picture.

        Args:
            predicted: Found objects; what has no pixel is left out.
            truth: True ones; crowds are groups.
            void: Pixels of unknown truth; None for none.

        Raises:
            DataError: Its masks differ in size.
        """
        predicted = predicted.take(np.flatnonzero(pixels_of(predicted)))
        counting = ~truth.crowds & (pixels_of(truth) >= LEAST_AREA)
        self.truths += np.bincount(truth.label_ids[counting], minlength=len(self.labels))
        on_void = shared_with(predicted, void)
        rows = np.zeros(len(predicted), self.kind)
        rows["score"], rows["label"] = predicted.scores, predicted.label_ids
        for label in np.unique(predicted.label_ids).tolist():
            found = np.flatnonzero(predicted.label_ids == label)
            true = np.flatnonzero(truth.label_ids == label)
            rows["right"][found], rows["wrong"][found] = judge(
                predicted.take(found), truth.take(true), counting[true], on_void[found]
            )
        self.rows.append(rows[(rows["right"] | rows["wrong"]).any(1)])

    def compute(self) -> dict[str, float | None]:
        """Give AP and AP50 in percent, averaged over the classes that have objects to be found."""
        areas = self.areas()
        return {"AP": mean_percent(areas), "AP50": mean_percent(areas[:, 0])}

    def per_class(self) -> dict[str, dict[str, float | None]]:
        """Give AP and AP50 of each class; None where no object is to be found."""
        return {
            name: {"AP": mean_percent(row), "AP50": mean_percent(row[:1])}
            for name, row in zip(self.labels.names, self.areas(), strict=True)
        }

    def areas(self) -> Float[np.ndarray, "k n"]:
        """Give the area under each curve; NaN for classes without objects."""
        areas = np.full((len(self.labels), len(OVERLAPS)), np.nan)
        for label, curves in self.curves().items():
            areas[label] = [area_under(*points) for points in curves]
        return areas

    def precisions(self) -> Float[np.ndarray, "k n r"]:
        """Give the precision at `RECALLS`, 0 beyond the last; NaN for classes without objects."""
        table = np.full((len(self.labels), len(OVERLAPS), len(RECALLS)), np.nan)
        for label, curves in self.curves().items():
            table[label] = [np.interp(RECALLS, *points, right=0.0) for points in curves]
        return table

    def curves(self) -> dict[int, list[tuple[np.ndarray, np.ndarray]]]:
        """Give recalls and precisions for each class with objects, one curve per overlap."""
        rows = np.concatenate([np.zeros(0, self.kind), *self.rows])
        rows = rows[np.lexsort((-rows["score"], rows["label"]))]
        ends = np.searchsorted(rows["label"], np.arange(len(self.labels) + 1))
        curves = {}
        for label in np.flatnonzero(self.truths).tolist():
            mine, truths = rows[ends[label] : ends[label + 1]], int(self.truths[label])
            flags = zip(mine["right"].T, mine["wrong"].T, strict=True)
            curves[label] = [curve(mine["score"], *both, truths) for both in flags]
        return curves


def judge(
    predicted: Objects,
    truth: Objects,
    counting: Bool[np.ndarray, " t"],
    on_void: Int[np.ndarray, " p"],
) -> tuple[Int[np.ndarray, "p n"], Int[np.ndarray, "p n"]]:
    """Say how often each detection of a class is right and wrong, per overlap.

    Args:
        predicted: Detections of one class in one picture.
        truth: Objects of it.
        counting: Objects that are to be found.
        on_void: Pixels of each detection that lie on void.
    """
    near = boxes_meet(predicted.boxes, truth.boxes)
    shared = shared_pixels(predicted.masks, truth.masks, near)
    found, true, nowhere = pixels_of(predicted), pixels_of(truth), np.zeros(len(truth), bool)
    ious = shares(shared.astype(np.float64), found, true, nowhere)
    reached = ious[..., None] > OVERLAPS
    # A small group is both, and counts twice.
    excused = on_void + shared[:, truth.crowds].sum(1) + shared[:, true < LEAST_AREA].sum(1)
    alone = ~reached.any(1) & ((excused / found)[:, None] <= OVERLAPS)
    hits = reached[:, counting]
    # Of equal scores it does not matter which one is right.
    best = np.where(hits, predicted.scores[:, None, None], -np.inf).argmax(0)
    right = np.zeros(alone.shape, np.int64)
    objects, places = np.nonzero(hits.any(0))
    np.add.at(right, (best[objects, places], places), 1)
    return right, hits.sum(1) - right + alone


def area_under(recall: Float[np.ndarray, " r"], precision: Float[np.ndarray, " r"]) -> float:
    """Give the area under the lines between points, in the order of rising recall."""
    return float((np.diff(recall) * (precision[1:] + precision[:-1])).sum() / 2)


def curve(
    scores: Float[np.ndarray, " p"],
    right: Integer[np.ndarray, " p"],
    wrong: Integer[np.ndarray, " p"],
    truths: int,
) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]]:
    """Give the points (recall, precision), from recall 0 on: one for each score that occurs.

    Args:
        scores: Of detections, in falling order.
        right: How often each is right.
        wrong: How often each is wrong.
        truths: How many objects there are to find, at least one.
    """
    counts = (right | wrong) > 0
    scores, right, wrong = scores[counts], right[counts], wrong[counts]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else []
    hits = right.cumsum(dtype=np.int64)[last]
    found = hits + wrong.cumsum(dtype=np.int64)[last]
    return np.append(0.0, hits / truths), np.append(1.0, hits / found)


def pixels_of(objects: Objects) -> Float[np.ndarray, " n"]:
    """Count the pixels of each mask; `areas` are what a file says of them."""
    return np.array([mask.area for mask in objects.masks], np.float64)
