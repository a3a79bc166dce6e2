"""Calibration of an evaluated model: confidence of pixels or objects against their correctness."""

import numpy as np
from jaxtyping import Int

from unimask.datasets import Sample
from unimask.evaluation.objects import ground_truth_label_map
from unimask.evaluation.scorers import CityscapesScorer, InstanceScorer, Scorer
from unimask.labels import Task
from unimask.metrics import CalibrationError
from unimask.results import Result

MAX_PIXELS = 2**22
"""Number of pixels compared at a time."""


class CalibrationCollector:
    """Observer of every prediction that is scored.

    Semantic and panoptic: confidence of the pixels that have a class in both ground truth and
    prediction, correct if both are the same class. Instance: scores of the detections that count
    for AP, correct if they match at an IoU of 0.5.

    Args:
        task: Task to score.
        scorer: Scorer of the evaluation, whose matches of instances are used.
    """

    def __init__(self, task: Task, scorer: Scorer) -> None:
        self.task: Task = task
        self.scorer = scorer
        self.pixels = CalibrationError()
        self.is_complete = True

    def add(self, result: Result, sample: Sample) -> None:
        """Add an image; results from files have no confidence of pixels."""
        if self.task == "instance":
            return
        if result.confidence_source is None:
            self.is_complete = False
            return
        ground_truth = ground_truth_label_map(sample)
        predicted = predicted_label_map(result)
        rows = max(1, MAX_PIXELS // max(1, result.size[1]))
        for top in range(0, result.size[0], rows):
            true, named = ground_truth[top : top + rows], predicted[top : top + rows]
            is_counted = (true >= 0) & (named >= 0)
            confidences = result.confidence[top : top + rows][is_counted]
            self.pixels.update(confidences, (true == named)[is_counted])

    def calibration(self) -> CalibrationError | None:
        """Return the calibration; None if the results have no confidence."""
        if self.task != "instance":
            return self.pixels if self.is_complete and self.pixels.counts.any() else None
        if not isinstance(self.scorer, InstanceScorer | CityscapesScorer):
            return None
        scores, correct = self.scorer.average.outcomes()
        if not len(scores) or (scores == 1).all():  # label maps have no scores
            return None
        objects = CalibrationError()
        objects.update(scores, correct)
        return objects


def predicted_label_map(result: Result) -> Int[np.ndarray, "h w"]:
    """Return the label id of every pixel; -1 for none."""
    if result.task == "semantic":
        return result.segmentation
    largest = max((segment.id for segment in result.segments), default=0)
    label_ids = np.full(largest + 1, -1, np.int32)
    for segment in result.segments:
        label_ids[segment.id] = segment.label_id
    return label_ids[result.segmentation]


def calibration_report(calibration: CalibrationError | None, task: Task) -> dict[str, object]:
    """Return the calibration as plain values in percent; None for what does not exist."""
    if calibration is None:
        return {"ECE": None, "MCE": None, "bins": []}
    width = 100 / calibration.num_bins
    rows = zip(
        calibration.mean_confidences, calibration.accuracies, calibration.counts, strict=True
    )
    name = correctness_name(task)
    return {
        **calibration.compute(),
        "bins": [
            {
                "min_confidence": number * width,
                "max_confidence": (number + 1) * width,
                "confidence": 100 * float(confidence) if count else None,
                name: 100 * float(accuracy) if count else None,
                "count": int(count),
            }
            for number, (confidence, accuracy, count) in enumerate(rows)
        ],
    }


def correctness_name(task: Task) -> str:
    """Return the field's name for the fraction of correct predictions."""
    return "precision" if task == "instance" else "accuracy"
