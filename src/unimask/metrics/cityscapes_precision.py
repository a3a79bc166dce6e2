"""Average precision of instances as Cityscapes defines it (Cordts et al. 2016).

The results equal those of cityscapesscripts' `evaluation/evalInstanceLevelSemanticLabeling.py`.
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
"""IoUs that a match must exceed; at ties, their difference from 0.5, 0.55, ... in the last digit
matters.
"""

LEAST_AREA = 100
"""Minimum area in pixels of objects that count."""


class CityscapesPrecision:
    """AP and AP50 over images, of which only scores and match counts per detection are stored.

    A ground-truth object counts if it is no group and has at least `LEAST_AREA` pixels. At each
    threshold, the highest-scoring detection whose IoU with it exceeds the threshold is a true
    positive, and other such detections are false positives. A detection that exceeds it with no
    object is a false positive too, unless a greater fraction of it than the threshold lies on void,
    groups and small objects of its class. AP is the area under the linear interpolation between the
    points (recall, precision), one for each distinct score, and (0, 1). The number of detections is
    not limited, and the order among equal scores does not matter.

    Args:
        labels: Classes to evaluate.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels, self.thresholds = labels, OVERLAPS
        self.truths = np.zeros(len(labels), np.int64)
        counts = [(name, "u2", (len(OVERLAPS),)) for name in ("right", "wrong")]
        self.kind = np.dtype([("score", "f8"), ("label", "i4"), *counts])
        self.rows: list[np.ndarray] = []

    def update(self, predicted: Objects, truth: Objects, void: RunLength | None = None) -> None:
        """Add an image.

        Args:
            predicted: Predicted objects; those without pixels are ignored.
            truth: Ground-truth objects; crowds are groups.
            void: Unlabelled pixels; None if there are none.

        Raises:
            DataError: The masks of the image differ in size.
        """
        predicted = predicted.take(np.flatnonzero(pixels_of(predicted)))
        counting = ~truth.crowds & (pixels_of(truth) >= LEAST_AREA)
        self.truths += np.bincount(truth.label_ids[counting], minlength=len(self.labels))
        on_void = shared_with(predicted, void)
        rows = np.zeros(len(predicted), self.kind)
        rows["score"], rows["label"] = predicted.scores, predicted.label_ids
        for label in np.unique(predicted.label_ids).tolist():
            detections = np.flatnonzero(predicted.label_ids == label)
            true = np.flatnonzero(truth.label_ids == label)
            rows["right"][detections], rows["wrong"][detections] = judge(
                predicted.take(detections), truth.take(true), counting[true], on_void[detections]
            )
        self.rows.append(rows[(rows["right"] | rows["wrong"]).any(1)])

    def compute(self) -> dict[str, float | None]:
        """Return AP and AP50 in percent, averaged over the classes with ground truth."""
        areas = self.areas()
        return {"AP": mean_percent(areas), "AP50": mean_percent(areas[:, 0])}

    def per_class(self) -> dict[str, dict[str, float | None]]:
        """Return AP and AP50 of each class in percent; None for classes without ground truth."""
        return {
            name: {"AP": mean_percent(row), "AP50": mean_percent(row[:1])}
            for name, row in zip(self.labels.names, self.areas(), strict=True)
        }

    def areas(self) -> Float[np.ndarray, "k n"]:
        """Compute the area under each curve; NaN for classes without ground truth."""
        areas = np.full((len(self.labels), len(OVERLAPS)), np.nan)
        for label, curves in self.curves().items():
            areas[label] = [area_under(*points) for points in curves]
        return areas

    def precisions(self) -> Float[np.ndarray, "k n r"]:
        """Compute precision at `RECALLS`, 0 beyond the last; NaN without ground truth."""
        table = np.full((len(self.labels), len(OVERLAPS), len(RECALLS)), np.nan)
        for label, curves in self.curves().items():
            table[label] = [np.interp(RECALLS, *points, right=0.0) for points in curves]
        return table

    def curves(self) -> dict[int, list[tuple[np.ndarray, np.ndarray]]]:
        """Compute recalls and precisions of classes with ground truth, one curve per threshold."""
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
    """Count the true and false positives of each detection of a class, per threshold.

    Args:
        predicted: Detections of one class in one image.
        truth: Ground-truth objects of the class.
        counting: Ground-truth objects that count.
        on_void: Number of pixels of each detection that lie on void.
    """
    near = boxes_meet(predicted.boxes, truth.boxes)
    shared = shared_pixels(predicted.masks, truth.masks, near)
    areas, true_areas, nowhere = pixels_of(predicted), pixels_of(truth), np.zeros(len(truth), bool)
    ious = shares(shared.astype(np.float64), areas, true_areas, nowhere)
    reached = ious[..., None] > OVERLAPS
    # A small group belongs to both terms and counts twice, as in the authors' code.
    excused = on_void + shared[:, truth.crowds].sum(1) + shared[:, true_areas < LEAST_AREA].sum(1)
    alone = ~reached.any(1) & ((excused / areas)[:, None] <= OVERLAPS)
    hits = reached[:, counting]
    # Among equal scores, the choice of the true positive does not affect the result.
    best = np.where(hits, predicted.scores[:, None, None], -np.inf).argmax(0)
    right = np.zeros(alone.shape, np.int64)
    objects, places = np.nonzero(hits.any(0))
    np.add.at(right, (best[objects, places], places), 1)
    return right, hits.sum(1) - right + alone


def area_under(recall: Float[np.ndarray, " r"], precision: Float[np.ndarray, " r"]) -> float:
    """Compute the area under the lines between points in order of ascending recall."""
    return float((np.diff(recall) * (precision[1:] + precision[:-1])).sum() / 2)


def curve(
    scores: Float[np.ndarray, " p"],
    right: Integer[np.ndarray, " p"],
    wrong: Integer[np.ndarray, " p"],
    truths: int,
) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]]:
    """Compute the points (recall, precision) from recall 0 on, one for each distinct score.

    Args:
        scores: Scores of detections in descending order.
        right: Number of true positives per detection.
        wrong: Number of false positives per detection.
        truths: Number of ground-truth objects, at least one.
    """
    counts = (right | wrong) > 0
    scores, right, wrong = scores[counts], right[counts], wrong[counts]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else []
    hits = right.cumsum(dtype=np.int64)[last]
    detections = hits + wrong.cumsum(dtype=np.int64)[last]
    return np.append(0.0, hits / truths), np.append(1.0, hits / detections)


def pixels_of(objects: Objects) -> Float[np.ndarray, " n"]:
    """Count the pixels of each mask; `areas` holds the numbers from annotation files."""
    return np.array([mask.area for mask in objects.masks], np.float64)
