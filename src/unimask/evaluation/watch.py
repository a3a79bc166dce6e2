"""What the page of an evaluation shows beside its scores, gathered picture by picture."""

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

PICTURE_SCORE = {"panoptic": "PQ", "semantic": "mIoU", "instance": "AP_match@0.50"}
"""What pictures are ranked by: of instances not COCO's AP, which needs many pictures."""


class Watch:
    """Sees every prediction that is scored.

    Args:
        labels: Classes.
        task: What is scored.
    """

    def __init__(self, labels: LabelSet, task: Task) -> None:
        self.labels = labels
        self.task: Task = task
        self.confusion, self.gallery = Confusion(labels), Gallery(labels)

    def add(self, result: Result, sample: Sample) -> None:
        """Look at a picture; of instances, at those that a user would be shown."""
        shown = surest(result)
        self.confusion.add(shown, sample)
        score = self.score(result, sample)
        if score is not None:
            self.gallery.add(shown, sample, score)

    def score(self, result: Result, sample: Sample) -> float | None:
        """Score one picture alone, in percent."""
        if self.task == "instance":
            matched = MatchedPrecision()
            add_matched(matched, result, sample, true_objects(sample, self.labels))
            return matched.compute()[PICTURE_SCORE[self.task]]
        alone = scorer_for(self.task, self.labels)
        alone.add(result, sample)
        return alone.metrics()[PICTURE_SCORE[self.task]]


def page_of(answers: Answers, scorer: Scorer, watch: Watch, split: str | None) -> Page:
    """Put together what the page tells."""
    pictures = len(answers.dataset)
    of = answers.dataset.name if split is None else f"{answers.dataset.name}/{split}"
    return Page(
        title=f"{answers.name}, {answers.task}",
        of=f"{pictures} {'picture' if pictures == 1 else 'pictures'} of {of}",
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
    """Leave out instances that score less than one half."""
    if result.task != "instance":
        return result
    kept = (s for s in result.segments if s.score is None or s.score >= INSTANCE_THRESHOLD)
    return replace(result, segments=tuple(kept))


def curves_of(scorer: Scorer) -> dict[str, Float[np.ndarray, " r"]]:
    """Give precision over recall, averaged over classes: at single IoUs, and over all of them."""
    if not isinstance(scorer, InstanceScorer | CityscapesScorer):
        return {}
    precisions = scorer.average.precisions()
    precisions = precisions[~np.isnan(precisions).all(axis=(1, 2))]
    if not len(precisions):
        return {}
    at = {f"IoU {iou:g}": np.isclose(scorer.average.thresholds, iou) for iou in (0.5, 0.75, 0.9)}
    chosen = {name: precisions[:, which].mean((0, 1)) for name, which in at.items() if which.any()}
    return {**chosen, "mean of all": precisions.mean((0, 1))}
