"""Rare classes: how often pictures of them are shown, and how much their queries count."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from unimask.curation.facts import Facts
from unimask.curation.survey import in_order
from unimask.datasets import Dataset

LEAST_WEIGHT, MOST_WEIGHT = 0.1, 10.0
"""How much less or more than the mean a class may count."""


def count_objects(
    dataset: Dataset, progress: Callable[[int, int], None] | None = None
) -> Int[np.ndarray, "n k"]:
    """Count the objects of each class in each picture; zeros where one cannot be read.

    Args:
        dataset: Labelled pictures, all of which are read.
        progress: Told after each picture: pictures done, pictures in all.
    """
    counts = np.zeros((len(dataset), len(dataset.labels)), np.int64)
    for index, facts in enumerate(in_order(dataset)):
        if isinstance(facts, Facts):
            counts[index] = facts.objects
        if progress is not None:
            progress(index + 1, len(dataset))
    return counts


def repeat_factors(counts: Int[np.ndarray, "n k"], threshold: float) -> Float[np.ndarray, " n"]:
    """Say how often each picture is shown for one time that a common one is.

    The rule of LVIS (Gupta et al. 2019, 3.2): a class that a share f of the pictures shows asks for
    max(1, sqrt(threshold / f)); a picture follows its rarest class.

    Args:
        counts: Objects of each class in each picture.
        threshold: Share of the pictures below which a class is rare; LVIS takes 0.001.
    """
    shown = counts > 0
    share = np.maximum(shown.mean(0), 1 / len(shown))  # a class that is nowhere asks nobody
    wanted = np.maximum(1.0, np.sqrt(threshold / share))
    return np.where(shown, wanted, 1.0).max(1, initial=1.0)


def shuffled(
    pictures: int, factors: Float[np.ndarray, " n"] | None, seed: int, epoch: int
) -> Int[np.ndarray, " n"]:
    """Give the pictures of an epoch in their order: as many as there are, whatever the factors.

    Factors are rounded up or down at random, anew in every epoch, so that they hold on average.

    Args:
        pictures: How many there are.
        factors: How often each is shown; None shows each once.
        seed: Of the run.
        epoch: Counted from 0.
    """
    random = np.random.default_rng((seed, epoch))
    if factors is None:
        return random.permutation(pictures)
    whole = np.floor(factors)
    times = (whole + (random.random(pictures) < factors - whole)).astype(np.int64)
    return random.permutation(np.repeat(np.arange(pictures), times))[:pictures]


def class_weights(counts: Int[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """Say how much each class counts in the class loss: by the root of how rare its objects are.

    The mean over objects is 1, so that the class loss keeps its place among the others; classes
    without objects count 1.

    Args:
        counts: Objects of each class in each picture.
    """
    objects = counts.sum(0).astype(np.float64)
    present = objects > 0
    if not present.any():
        return np.ones(len(objects))
    rarity = np.ones(len(objects))
    rarity[present] = 1 / np.sqrt(objects[present])
    rarity[present] /= (rarity * objects)[present].sum() / objects.sum()
    return np.where(present, rarity.clip(LEAST_WEIGHT, MOST_WEIGHT), 1.0)
