"""Scores of weighted images, pooled from one scorer per image."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array, vstack

from unimask.evaluation.scorers import (
    CityscapesScorer,
    InstanceScorer,
    PanopticScorer,
    Scorer,
    Scores,
    SemanticScorer,
)
from unimask.metrics import (
    AveragePrecision,
    CityscapesPrecision,
    MatchedPrecision,
    MeanIoU,
    PanopticQuality,
)

Pool = Callable[[Int[np.ndarray, " n"]], Scores]
"""Function from the number of occurrences of each image to the scores of all of them together."""


def build_pool(parts: Sequence[Scorer]) -> Pool:
    """Return the function that scores any resample of the images.

    Args:
        parts: One scorer of the same type per image, to which the image was added.
    """
    first = parts[0]
    if isinstance(first, PanopticScorer):
        return panoptic_pool([part.quality for part in parts if isinstance(part, PanopticScorer)])
    if isinstance(first, SemanticScorer):
        return semantic_pool([part.iou for part in parts if isinstance(part, SemanticScorer)])
    instances = [part for part in parts if isinstance(part, InstanceScorer)]
    groups = [part for part in parts if isinstance(part, CityscapesScorer)]
    if groups:
        average = cityscapes_pool([part.average for part in groups])
    else:
        average = average_pool([part.average for part in instances])
    matched = matched_pool([part.matched for part in groups or instances])
    return lambda times: average(times) | matched(times)


def panoptic_pool(parts: Sequence[PanopticQuality]) -> Pool:
    """Pool panoptic scores by summing IoUs and counts per class."""
    names = ("iou", "true_positives", "false_positives", "false_negatives")
    tables = {name: np.stack([getattr(part, name) for part in parts]) for name in names}

    def score(times: Int[np.ndarray, " n"]) -> Scores:
        pooled = PanopticQuality(parts[0].labels)
        for name, table in tables.items():
            setattr(pooled, name, times @ table)
        return pooled.compute()

    return score


def semantic_pool(parts: Sequence[MeanIoU]) -> Pool:
    """Pool semantic scores by summing confusion matrices, which are sparse per image."""
    table = vstack([csr_array(part.confusion.reshape(1, -1)) for part in parts], format="csr")

    def score(times: Int[np.ndarray, " n"]) -> Scores:
        pooled = MeanIoU(parts[0].labels)
        pooled.confusion = (times @ table).reshape(pooled.confusion.shape)
        return pooled.compute()

    return score


def average_pool(parts: Sequence[AveragePrecision]) -> Pool:
    """Pool AP by repeating detections; AP of the pooled detections is not a mean over images."""
    rows = np.concatenate([part.rows[: part.count] for part in parts])
    images = np.repeat(np.arange(len(parts)), [part.count for part in parts])
    num_ground_truth = np.stack([part.num_ground_truth for part in parts])
    template = parts[0]

    def score(times: Int[np.ndarray, " n"]) -> Scores:
        pooled = AveragePrecision(
            template.labels,
            max_detections=template.max_detections,
            thresholds=template.thresholds.tolist(),
            ious=template.ious,
        )
        pooled.rows = rows[np.repeat(np.arange(len(rows)), times[images])]
        pooled.count = len(pooled.rows)
        pooled.num_ground_truth = np.tensordot(times, num_ground_truth, 1)
        return pooled.headline_scores()

    return score


def cityscapes_pool(parts: Sequence[CityscapesPrecision]) -> Pool:
    """Pool AP by repeating detections, as `average_pool` does."""
    rows = [np.concatenate([np.zeros(0, part.row_dtype), *part.rows]) for part in parts]
    images = np.repeat(np.arange(len(parts)), [len(row) for row in rows])
    table, num_ground_truth = (
        np.concatenate(rows),
        np.stack([part.num_ground_truth for part in parts]),
    )

    def score(times: Int[np.ndarray, " n"]) -> Scores:
        pooled = CityscapesPrecision(parts[0].labels)
        pooled.rows = [table[np.repeat(np.arange(len(table)), times[images])]]
        pooled.num_ground_truth = times @ num_ground_truth
        return pooled.compute()

    return score


def matched_pool(parts: Sequence[MatchedPrecision]) -> Pool:
    """Pool matched precision by averaging over images."""
    images = [image for part in parts for image in part.images]

    def score(times: Int[np.ndarray, " n"]) -> Scores:
        pooled = MatchedPrecision(parts[0].thresholds)
        pooled.images = [images[index] for index in np.repeat(np.arange(len(images)), times)]
        return pooled.compute()

    return score
