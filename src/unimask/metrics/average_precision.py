"""COCO's average precision and recall (Lin et al. 2014; `pycocotools/cocoeval.py`)."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped

from unimask.labels import LabelSet
from unimask.metrics.detection_matches import match_detections
from unimask.metrics.object_ious import mask_ious
from unimask.metrics.objects import Objects
from unimask.metrics.panoptic_quality import mean_percent

THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS = np.linspace(0, 1, 101)
AREAS = {"": (0.0, 1e10), "s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, 1e10)}
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
        self.truths = np.zeros((len(labels), len(AREAS)), np.int64)
        flags = (len(AREAS) * len(thresholds) + 7) // 8
        self.rows = np.zeros(
            0, [("score", "f8"), ("label", "i4"), ("rank", "i4")]
            + [(name, "u1", (flags,)) for name in ("right", "ignored")],
        )  # fmt: skip
        self.count = 0

    def update(self, predicted: Objects, truth: Objects) -> None:
        """Add an image.

        Raises:
            DataError: The masks of the image differ in size.
        """
        order = np.lexsort((-predicted.scores, predicted.label_ids))
        labels = predicted.label_ids[order]
        ranks = np.arange(len(order)) - np.searchsorted(labels, labels)
        is_counted = ranks < self.max_detections[-1]
        predicted, ranks = predicted.take(order[is_counted]), ranks[is_counted]
        matched = np.zeros((len(predicted), len(AREAS), len(self.thresholds)), bool)
        excused = np.zeros_like(matched)
        ignored = outside(truth.areas) | truth.crowds
        for label in np.unique(truth.label_ids).tolist():
            true = np.flatnonzero(truth.label_ids == label)
            detections = np.flatnonzero(predicted.label_ids == label)
            self.truths[label] += (~ignored[:, true]).sum(1)
            if len(detections):
                ious = self.ious(predicted.take(detections), truth.take(true))
                matched[detections], excused[detections] = match_detections(
                    ious, ignored[:, true], truth.crowds[true], self.thresholds
                )
        excused |= ~matched & outside(predicted.areas).T[..., None]
        self.add_rows(predicted, ranks, matched & ~excused, excused)

    def add_rows(
        self, predicted: Objects, ranks: np.ndarray, right: np.ndarray, ignored: np.ndarray
    ) -> None:
        """Store scores, labels, ranks and flags in an array that grows by doubling."""
        end = self.count + len(predicted)
        if end > len(self.rows):
            rows = np.zeros(max(end, 2 * len(self.rows)), self.rows.dtype)
            rows[: self.count] = self.rows[: self.count]
            self.rows = rows
        new = self.rows[self.count : end]
        new["score"], new["label"], new["rank"] = predicted.scores, predicted.label_ids, ranks
        flat = (len(predicted), self.truths.shape[1] * len(self.thresholds))
        new["right"] = np.packbits(right.reshape(flat), axis=1)
        new["ignored"] = np.packbits(ignored.reshape(flat), axis=1)
        self.count = end

    def merge(self, later: "AveragePrecision") -> None:
        """Add the images of another metric with the same settings."""
        self.rows = np.concatenate([self.rows[: self.count], later.rows[: later.count]])
        self.count = len(self.rows)
        self.truths += later.truths

    def compute(self) -> dict[str, float | None]:
        """Return percentages under detectron2's names; None where there is no ground truth."""
        most = self.max_detections[-1]
        precision, recall = self.curves("", most)
        scores = self.headlines(precision)
        by_area = {area: self.curves(area, most) for area in AREAS if area}
        scores |= {f"AP{area}": mean_percent(by_area[area][0]) for area in by_area}
        for few in self.max_detections[:-1]:
            scores[f"AR{few}"] = mean_percent(self.curves("", few)[1])
        scores[f"AR{most}"] = mean_percent(recall)
        return scores | {f"AR{area}": mean_percent(by_area[area][1]) for area in by_area}

    def headlines(
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
            **{f"AP{area}": self.precisions(area) for area in AREAS if area},
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
        self, area: str, most: int
    ) -> tuple[Float[np.ndarray, "k n r"], Float[np.ndarray, "k n"]]:
        """Compute precision at `RECALLS`, and the maximum recall, per class and threshold."""
        place = list(AREAS).index(area)
        shape = (len(self.labels), len(self.thresholds))
        precision, recall = np.full((*shape, len(RECALLS)), np.nan), np.full(shape, np.nan)
        rows = self.rows[: self.count]
        rows = rows[rows["rank"] < most]
        order = np.lexsort((-rows["score"], rows["label"]))
        bounds = np.searchsorted(rows["label"][order], np.arange(len(self.labels) + 1))
        for label in np.flatnonzero(self.truths[:, place]).tolist():
            chosen = rows[order[bounds[label] : bounds[label + 1]]]
            right, ignored = (self.flags(chosen[name], place) for name in ("right", "ignored"))
            truths = int(self.truths[label, place])
            precision[label], recall[label] = curve(right, ignored, truths)
        return precision, recall

    def flags(self, packed: Shaped[np.ndarray, "p b"], place: int) -> np.ndarray:
        """Unpack the flags for one range of areas, of shape (p, n)."""
        count = len(self.thresholds)
        bits = np.unpackbits(packed, axis=1, count=len(AREAS) * count)
        return bits[:, place * count : (place + 1) * count].astype(bool)


def outside(areas: Float[np.ndarray, " n"]) -> Bool[np.ndarray, "a n"]:
    """Return which objects lie outside each range of areas; both limits are inside."""
    ranges = np.array(list(AREAS.values()))
    return (areas < ranges[:, :1]) | (areas > ranges[:, 1:])


def curve(
    right: Bool[np.ndarray, "p n"], ignored: Bool[np.ndarray, "p n"], truths: int
) -> tuple[Float[np.ndarray, "n r"], Float[np.ndarray, " n"]]:
    """Compute precision at `RECALLS` and the maximum recall, per threshold.

    Args:
        right: True positives among the detections of one class, by descending score.
        ignored: Detections that are neither true nor false positives.
        truths: Number of ground-truth objects, at least one.
    """
    count = right.shape[1]
    precision, recall = np.zeros((count, len(RECALLS))), np.zeros(count)
    if not len(right):
        return precision, recall
    hits = right.cumsum(0, dtype=np.float64)
    misses = (~right & ~ignored).cumsum(0, dtype=np.float64)
    # Precision at a recall is the highest one at that or any higher recall.
    shares = hits / (misses + hits + np.spacing(1))
    shares = np.maximum.accumulate(shares[::-1])[::-1]
    reached = hits / truths
    for step in range(count):
        places = np.searchsorted(reached[:, step], RECALLS)
        inside = places < len(right)
        precision[step, inside] = shares[places[inside], step]
    return precision, reached[-1]
