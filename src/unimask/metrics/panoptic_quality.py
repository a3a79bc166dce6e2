"""Panoptic quality as COCO defines it (Kirillov et al. 2019; `panopticapi/evaluation.py`)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from unimask.labels import LabelSet
from unimask.metrics.overlaps import count_overlaps

VOID = 0


class PanopticQuality:
    """PQ, SQ and RQ over images, of which only sums per class are stored.

    Segments of one class match if their IoU exceeds one half; the union excludes void. A predicted
    segment without a match is no false positive if more than half of it lies on void or on crowds
    of its class.

    Args:
        labels: Classes to evaluate.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        classes = len(labels)
        self.iou = np.zeros(classes)
        self.true_positives = np.zeros(classes, np.int64)
        self.false_positives = np.zeros(classes, np.int64)
        self.false_negatives = np.zeros(classes, np.int64)

    def update(
        self,
        predicted: Int[np.ndarray, "h w"],
        predicted_labels: Mapping[int, int],
        ground_truth: Int[np.ndarray, "h w"],
        ground_truth_labels: Mapping[int, int],
        crowds: frozenset[int] = frozenset(),
    ) -> None:
        """Add an image.

        Args:
            predicted: Segment ids of the prediction; 0 for void.
            predicted_labels: Label id of each predicted segment.
            ground_truth: Segment ids of the ground truth; 0 for void.
            ground_truth_labels: Label id of each true segment, crowds included.
            crowds: Ids of true segments that stand for several objects.
        """
        predicted_ids, true_ids, shared = count_overlaps(predicted, ground_truth)
        predicted_rows = {int(v): i for i, v in enumerate(predicted_ids) if v != VOID}
        true_columns = {int(v): i for i, v in enumerate(true_ids) if v != VOID}
        predicted_areas, true_areas = shared.sum(1), shared.sum(0)
        void = next((i for i, v in enumerate(true_ids) if v == VOID), None)
        on_void = shared[:, void] if void is not None else np.zeros(len(predicted_ids), np.int64)
        matched_predictions: set[int] = set()
        matched_true: set[int] = set()
        # Matches: pairs of one class whose IoU, without void, exceeds one half (section 4.1).
        for true_id, column in true_columns.items():
            if true_id in crowds:
                continue
            label = ground_truth_labels[true_id]
            for row in np.flatnonzero(shared[:, column]):
                predicted_id = int(predicted_ids[row])
                if predicted_id == VOID or predicted_labels[predicted_id] != label:
                    continue
                union = (
                    predicted_areas[row] + true_areas[column] - shared[row, column] - on_void[row]
                )
                iou = shared[row, column] / union
                if iou > 0.5:
                    self.iou[label] += iou
                    self.true_positives[label] += 1
                    matched_predictions.add(predicted_id)
                    matched_true.add(true_id)
        # Unmatched true segments are false negatives, except for crowds.
        for true_id in true_columns.keys() - matched_true - crowds:
            self.false_negatives[ground_truth_labels[true_id]] += 1
        # Unmatched predictions are false positives, unless mostly on void or crowds (section 4.2).
        for predicted_id in predicted_rows.keys() - matched_predictions:
            label, row = predicted_labels[predicted_id], predicted_rows[predicted_id]
            ignored_area = on_void[row] + sum(
                shared[row, true_columns[crowd]]
                for crowd in crowds
                if crowd in true_columns and ground_truth_labels[crowd] == label
            )
            if ignored_area / predicted_areas[row] <= 0.5:
                self.false_positives[label] += 1

    def compute(self) -> dict[str, float | None]:
        """Return percentages over all classes, things and stuff; None where undefined."""
        things = np.array(self.labels.is_thing)
        scores: dict[str, float | None] = {}
        for suffix, selected in (
            ("", np.ones_like(things)),
            ("_things", things),
            ("_stuff", ~things),
        ):
            for name, values in zip(("PQ", "SQ", "RQ"), self.qualities(), strict=True):
                scores[name + suffix] = mean_percent(values[selected])
        return scores

    def per_class(self) -> dict[str, dict[str, float | None]]:
        """Return PQ, SQ and RQ of each class in percent; None for classes that never occur."""
        columns = zip(self.labels.names, *self.qualities(), strict=True)
        return {
            name: {
                key: None if np.isnan(value) else 100 * float(value)
                for key, value in zip(("PQ", "SQ", "RQ"), values, strict=True)
            }
            for name, *values in columns
        }

    def qualities(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Compute PQ, SQ and RQ per class from 0 to 1; NaN for classes that never occur."""
        matched = self.true_positives
        weight = matched + 0.5 * self.false_positives + 0.5 * self.false_negatives
        with np.errstate(invalid="ignore", divide="ignore"):
            pq = np.where(weight > 0, self.iou / weight, np.nan)
            rq = np.where(weight > 0, matched / weight, np.nan)
            sq = np.where(weight > 0, np.where(matched > 0, self.iou / matched, 0), np.nan)
        return pq, sq, rq


def mean_percent(values: np.ndarray) -> float | None:
    """Compute the mean of the values that are not NaN, in percent; None if there are none."""
    defined = values[~np.isnan(values)]
    return 100 * float(defined.mean()) if len(defined) else None
