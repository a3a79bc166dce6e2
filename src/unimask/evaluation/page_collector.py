"""Collection of the confusion matrix and the gallery that an evaluation's page shows."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from unimask.datasets import Sample
from unimask.evaluation.calibration import correctness_name
from unimask.evaluation.confusion import Confusion
from unimask.evaluation.gallery import Gallery
from unimask.evaluation.objects import ground_truth_objects
from unimask.evaluation.page import Page
from unimask.evaluation.result_providers import ResultProvider
from unimask.evaluation.scorers import (
    MIN_SCORE,
    CityscapesScorer,
    InstanceScorer,
    Scorer,
    build_scorer,
    update_matched_precision,
)
from unimask.labels import LabelSet, Task
from unimask.metrics import CalibrationError, MatchedPrecision
from unimask.results import Result

IMAGE_SCORE = {"panoptic": "PQ", "semantic": "mIoU", "instance": "AP_match@0.50"}
"""Score by which images are ranked: COCO's AP is unsuitable, since it needs many images."""


class PageCollector:
    """Observer of every prediction that is scored.

    Args:
        labels: Classes to evaluate.
        task: Task to score.
        min_score: Minimum score of an instance that counts as predicted.
    """

    def __init__(self, labels: LabelSet, task: Task, min_score: float = MIN_SCORE) -> None:
        self.labels, self.min_score = labels, min_score
        self.task: Task = task
        self.confusion, self.gallery = Confusion(labels), Gallery(labels)

    def add(self, result: Result, sample: Sample) -> None:
        """Add an image; of instances, only those that `predict` would return by default."""
        confident = drop_low_scores(result, self.min_score)
        self.confusion.add(confident, sample)
        score = self.score(result, sample)
        if score is not None:
            self.gallery.add(confident, sample, score)

    def score(self, result: Result, sample: Sample) -> float | None:
        """Score one image on its own, in percent."""
        if self.task == "instance":
            matched = MatchedPrecision()
            ground_truth = ground_truth_objects(sample, self.labels)
            update_matched_precision(matched, result, sample, ground_truth, self.min_score)
            return matched.compute()[IMAGE_SCORE[self.task]]
        scorer = build_scorer(self.task, self.labels)
        scorer.add(result, sample)
        return scorer.metrics()[IMAGE_SCORE[self.task]]


def build_page(
    provider: ResultProvider,
    scorer: Scorer,
    collector: PageCollector,
    calibration: CalibrationError | None,
    split: str | None,
) -> Page:
    """Assemble the content of the page."""
    images = len(provider.dataset)
    data = provider.dataset.name if split is None else f"{provider.dataset.name}/{split}"
    return Page(
        title=f"{provider.name}, {provider.task}",
        description=f"{images} {'image' if images == 1 else 'images'} of {data}",
        metrics=scorer.metrics(),
        per_class=scorer.per_class(),
        notes=[*provider.notes(), *scorer.notes()],
        curves=precision_recall_curves(scorer),
        confusion=collector.confusion.counts,
        calibration=calibration,
        correctness=correctness_name(provider.task),
        labels=provider.labels,
        best=collector.gallery.best,
        worst=collector.gallery.worst,
    )


def drop_low_scores(result: Result, min_score: float) -> Result:
    """Remove instances with a lower score."""
    if result.task != "instance":
        return result
    segments = (s for s in result.segments if s.score is None or s.score >= min_score)
    return replace(result, segments=tuple(segments))


def precision_recall_curves(scorer: Scorer) -> dict[str, Float[np.ndarray, " r"]]:
    """Return precision-recall curves averaged over classes, at several IoUs and as their mean."""
    if not isinstance(scorer, InstanceScorer | CityscapesScorer):
        return {}
    precisions = scorer.average.precisions()
    precisions = precisions[~np.isnan(precisions).all(axis=(1, 2))]
    if not len(precisions):
        return {}
    is_threshold = {
        f"IoU {iou:g}": np.isclose(scorer.average.thresholds, iou) for iou in (0.5, 0.75, 0.9)
    }
    curves = {
        name: precisions[:, which].mean((0, 1))
        for name, which in is_threshold.items()
        if which.any()
    }
    return {**curves, "mean of all": precisions.mean((0, 1))}
