"""Collection of the confusion matrix and the gallery that an evaluation's page shows."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from unimask.datasets import Sample
from unimask.evaluation.answers import Answers
from unimask.evaluation.confusion import Confusion
from unimask.evaluation.gallery import Gallery
from unimask.evaluation.objects import true_objects
from unimask.evaluation.page import Page
from unimask.evaluation.scorers import (
    CityscapesScorer,
    InstanceScorer,
    Scorer,
    add_matched,
    scorer_for,
)
from unimask.inference.predictor import INSTANCE_THRESHOLD
from unimask.labels import LabelSet, Task
from unimask.metrics import MatchedPrecision
from unimask.results import Result

IMAGE_SCORE = {"panoptic": "PQ", "semantic": "mIoU", "instance": "AP_match@0.50"}
"""Score by which images are ranked: COCO's AP is unsuitable, since it needs many images."""


class Watch:
    """Observer of every prediction that is scored.

    Args:
        labels: Classes to evaluate.
        task: Task to score.
    """

    def __init__(self, labels: LabelSet, task: Task) -> None:
        self.labels = labels
        self.task: Task = task
        self.confusion, self.gallery = Confusion(labels), Gallery(labels)

    def add(self, result: Result, sample: Sample) -> None:
        """Add an image; of instances, only those that `predict` would return by default."""
        shown = surest(result)
        self.confusion.add(shown, sample)
        score = self.score(result, sample)
        if score is not None:
            self.gallery.add(shown, sample, score)

    def score(self, result: Result, sample: Sample) -> float | None:
        """Score one image on its own, in percent."""
        if self.task == "instance":
            matched = MatchedPrecision()
            add_matched(matched, result, sample, true_objects(sample, self.labels))
            return matched.compute()[IMAGE_SCORE[self.task]]
        alone = scorer_for(self.task, self.labels)
        alone.add(result, sample)
        return alone.metrics()[IMAGE_SCORE[self.task]]


def page_of(answers: Answers, scorer: Scorer, watch: Watch, split: str | None) -> Page:
    """Assemble the content of the page."""
    images = len(answers.dataset)
    of = answers.dataset.name if split is None else f"{answers.dataset.name}/{split}"
    return Page(
        title=f"{answers.name}, {answers.task}",
        of=f"{images} {'image' if images == 1 else 'images'} of {of}",
        metrics=scorer.metrics(),
        per_class=scorer.per_class(),
        notes=[*answers.notes(), *scorer.notes()],
        curves=curves_of(scorer),
        confusion=watch.confusion.counts,
        labels=answers.labels,
        best=watch.gallery.best,
        worst=watch.gallery.worst,
    )


def surest(result: Result) -> Result:
    """Remove instances that score less than one half."""
    if result.task != "instance":
        return result
    segments = (s for s in result.segments if s.score is None or s.score >= INSTANCE_THRESHOLD)
    return replace(result, segments=tuple(segments))


def curves_of(scorer: Scorer) -> dict[str, Float[np.ndarray, " r"]]:
    """Return precision-recall curves averaged over classes, at several IoUs and as their mean."""
    if not isinstance(scorer, InstanceScorer | CityscapesScorer):
        return {}
    precisions = scorer.average.precisions()
    precisions = precisions[~np.isnan(precisions).all(axis=(1, 2))]
    if not len(precisions):
        return {}
    at = {f"IoU {iou:g}": np.isclose(scorer.average.thresholds, iou) for iou in (0.5, 0.75, 0.9)}
    chosen = {name: precisions[:, which].mean((0, 1)) for name, which in at.items() if which.any()}
    return {**chosen, "mean of all": precisions.mean((0, 1))}
