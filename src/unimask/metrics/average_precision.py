"""COCO's average precision and recall (Lin et al. 2014; `pycocotools/cocoeval.py`)."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped

from unimask.labels import LabelSet
from unimask.metrics.detection_matches import match_detections
from unimask.metrics.object_ious import mask_ious
from unimask.metrics.objects import Objects
from unimask.metrics.panoptic_quality import mean_percent

THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS = np.linspace(0, 1, 101)
AREA_RANGES = {"": (0.0, 1e10), "s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, 1e10)}
"""Minimum and maximum area in pixels of all, small, medium and large objects."""

MAX_DETECTIONS = (1, 10, 100)


class AveragePrecision:
    """AP and AR over images, of which only scores and match flags per detection are stored.

    A detection takes 26 bytes with ten thresholds, and up to as much again while the array grows.

    Detections with equal scores are ranked in the order in which their images were added.

    Args:
        labels: Classes to evaluate.
        max_detections: Numbers of highest-scoring detections per class and image that count: one
            recall for each, and the precision for the largest.
        thresholds: IoUs that a match must reach, from 0 to 1.
        ious: Function from predicted and true objects to their IoUs: `mask_ious`, `boundary_ious`
            or `box_ious`.
    """

    area_ranges = AREA_RANGES
    """Ranges of areas for which scores are computed; the first holds all objects."""

    def __init__(
        self,
        labels: LabelSet,
        *,
        max_detections: Sequence[int] = MAX_DETECTIONS,
        thresholds: Sequence[float] = THRESHOLDS,
        ious: Callable[[Objects, Objects], Float[np.ndarray, "p t"]] = mask_ious,
    ) -> None:
        self.labels = labels
        self.max_detections = tuple(sorted(max_detections))
        self.thresholds = np.array(thresholds, np.float64)
        self.ious = ious
        self.num_ground_truth = np.zeros((len(labels), len(self.area_ranges)), np.int64)
        flags = (len(self.area_ranges) * len(thresholds) + 7) // 8
        self.rows = np.zeros(
            0, [("score", "f8"), ("label", "i4"), ("rank", "i4")]
            + [(name, "u1", (flags,)) for name in ("true_positives", "ignored")],
        )  # fmt: skip
        self.count = 0

    def update(self, predicted: Objects, ground_truth: Objects) -> None:
        """Add an image.

        Raises:
            DataError: The masks of the image differ in size.
        """
        order = np.lexsort((-predicted.scores, predicted.label_ids))
        labels = predicted.label_ids[order]
        ranks = np.arange(len(order)) - np.searchsorted(labels, labels)
        is_counted = ranks < self.max_detections[-1]
        predicted, ranks = predicted.take(order[is_counted]), ranks[is_counted]
        matched = np.zeros((len(predicted), len(self.area_ranges), len(self.thresholds)), bool)
        ignored_matches = np.zeros_like(matched)
        ignored = outside_area_ranges(ground_truth.areas, self.area_ranges) | ground_truth.crowds
        for label in np.unique(ground_truth.label_ids).tolist():
            objects = np.flatnonzero(ground_truth.label_ids == label)
            detections = np.flatnonzero(predicted.label_ids == label)
            self.num_ground_truth[label] += (~ignored[:, objects]).sum(1)
            if len(detections):
                ious = self.ious(predicted.take(detections), ground_truth.take(objects))
                matched[detections], ignored_matches[detections] = match_detections(
                    ious, ignored[:, objects], ground_truth.crowds[objects], self.thresholds
                )
        ignored_matches |= (
            ~matched & outside_area_ranges(predicted.areas, self.area_ranges).T[..., None]
        )
        self.add_rows(predicted, ranks, matched & ~ignored_matches, ignored_matches)

    def add_rows(
        self, predicted: Objects, ranks: np.ndarray, true_positives: np.ndarray, ignored: np.ndarray
    ) -> None:
        """Store scores, labels, ranks and flags in an array that grows by doubling."""
        end = self.count + len(predicted)
        if end > len(self.rows):
            rows = np.zeros(max(end, 2 * len(self.rows)), self.rows.dtype)
            rows[: self.count] = self.rows[: self.count]
            self.rows = rows
        new = self.rows[self.count : end]
        new["score"], new["label"], new["rank"] = predicted.scores, predicted.label_ids, ranks
        flat = (len(predicted), self.num_ground_truth.shape[1] * len(self.thresholds))
        new["true_positives"] = np.packbits(true_positives.reshape(flat), axis=1)
        new["ignored"] = np.packbits(ignored.reshape(flat), axis=1)
        self.count = end

    def merge(self, other: "AveragePrecision") -> None:
        """Add the images of another metric with the same settings."""
        self.rows = np.concatenate([self.rows[: self.count], other.rows[: other.count]])
        self.count = len(self.rows)
        self.num_ground_truth += other.num_ground_truth

    def compute(self) -> dict[str, float | None]:
        """Return percentages under detectron2's names; None where there is no ground truth."""
        max_detections = self.max_detections[-1]
        precision, recall = self.curves("", max_detections)
        scores = self.headline_scores(precision)
        by_area = {area: self.curves(area, max_detections) for area in self.area_ranges if area}
        scores |= {f"AP{area}": mean_percent(by_area[area][0]) for area in by_area}
        for limit in self.max_detections[:-1]:
            scores[f"AR{limit}"] = mean_percent(self.curves("", limit)[1])
        scores[f"AR{max_detections}"] = mean_percent(recall)
        return scores | {f"AR{area}": mean_percent(by_area[area][1]) for area in by_area}

    def headline_scores(
        self, precision: Float[np.ndarray, "k n r"] | None = None
    ) -> dict[str, float | None]:
        """Return only AP, AP50 and AP75, as `compute` does.

        Args:
            precision: Result of `precisions`, if it was computed before.
        """
        precision = self.precisions() if precision is None else precision
        return {
            "AP": mean_percent(precision),
            "AP50": mean_percent(precision[:, np.isclose(self.thresholds, 0.5)]),
            "AP75": mean_percent(precision[:, np.isclose(self.thresholds, 0.75)]),
        }

    def per_class(self) -> dict[str, dict[str, float | None]]:
        """Return AP by threshold and area and AR for each class, in percent; None if undefined."""
        precision, recall = self.curves("", self.max_detections[-1])
        columns = {
            "AP": precision,
            "AP50": precision[:, np.isclose(self.thresholds, 0.5)],
            "AP75": precision[:, np.isclose(self.thresholds, 0.75)],
            **{f"AP{area}": self.precisions(area) for area in self.area_ranges if area},
            "AR": recall,
        }
        return {
            name: {key: mean_percent(values[label]) for key, values in columns.items()}
            for label, name in enumerate(self.labels.names)
        }

    def precisions(self, area: str = "") -> Float[np.ndarray, "k n r"]:
        """Compute precision per class, threshold and recall; NaN for classes without objects.

        Args:
            area: Range of areas: "", "s", "m" or "l".
        """
        return self.curves(area, self.max_detections[-1])[0]

    def curves(
        self, area: str, max_detections: int
    ) -> tuple[Float[np.ndarray, "k n r"], Float[np.ndarray, "k n"]]:
        """Compute precision at `RECALLS`, and the maximum recall, per class and threshold."""
        area_index = list(self.area_ranges).index(area)
        shape = (len(self.labels), len(self.thresholds))
        precision, recall = np.full((*shape, len(RECALLS)), np.nan), np.full(shape, np.nan)
        rows = self.rows[: self.count]
        rows = rows[rows["rank"] < max_detections]
        order = np.lexsort((-rows["score"], rows["label"]))
        bounds = np.searchsorted(rows["label"][order], np.arange(len(self.labels) + 1))
        for label in np.flatnonzero(self.num_ground_truth[:, area_index]).tolist():
            detections = rows[order[bounds[label] : bounds[label + 1]]]
            true_positives, ignored = (
                self.unpack_flags(detections[name], area_index)
                for name in ("true_positives", "ignored")
            )
            num_objects = int(self.num_ground_truth[label, area_index])
            precision[label], recall[label] = precision_recall_curve(
                true_positives, ignored, num_objects
            )
        return precision, recall

    def outcomes(self) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Return the scores of detections, and whether they are true positives at an IoU of 0.5.

        Detections that match ignored objects are left out.
        """
        (column,) = np.flatnonzero(np.isclose(self.thresholds, 0.5))
        rows = self.rows[: self.count]
        true_positives, ignored = (
            self.unpack_flags(rows[name], 0)[:, column] for name in ("true_positives", "ignored")
        )
        return rows["score"][~ignored], true_positives[~ignored]

    def unpack_flags(self, packed: Shaped[np.ndarray, "p b"], area_index: int) -> np.ndarray:
        """Unpack the flags for one range of areas, of shape (p, n)."""
        count = len(self.thresholds)
        bits = np.unpackbits(packed, axis=1, count=len(self.area_ranges) * count)
        return bits[:, area_index * count : (area_index + 1) * count].astype(bool)


def outside_area_ranges(
    areas: Float[np.ndarray, " n"], area_ranges: Mapping[str, tuple[float, float]]
) -> Bool[np.ndarray, "a n"]:
    """Return which objects lie outside each range of areas; both limits are inside."""
    ranges = np.array(list(area_ranges.values()))
    return (areas < ranges[:, :1]) | (areas > ranges[:, 1:])


def precision_recall_curve(
    true_positives: Bool[np.ndarray, "p n"], ignored: Bool[np.ndarray, "p n"], num_ground_truth: int
) -> tuple[Float[np.ndarray, "n r"], Float[np.ndarray, " n"]]:
    """Compute precision at `RECALLS` and the maximum recall, per threshold.

    Args:
        true_positives: True positives among the detections of one class, by descending score.
        ignored: Detections that are neither true nor false positives.
        num_ground_truth: Number of ground-truth objects, at least one.
    """
    count = true_positives.shape[1]
    precision, recall = np.zeros((count, len(RECALLS))), np.zeros(count)
    if not len(true_positives):
        return precision, recall
    num_true = true_positives.cumsum(0, dtype=np.float64)
    num_false = (~true_positives & ~ignored).cumsum(0, dtype=np.float64)
    # Precision at a recall is the highest one at that or any higher recall.
    precisions = num_true / (num_false + num_true + np.spacing(1))
    precisions = np.maximum.accumulate(precisions[::-1])[::-1]
    recalls = num_true / num_ground_truth
    for step in range(count):
        indices = np.searchsorted(recalls[:, step], RECALLS)
        is_reached = indices < len(true_positives)
        precision[step, is_reached] = precisions[indices[is_reached], step]
    return precision, recalls[-1]
