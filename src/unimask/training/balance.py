"""Class balance: repetition of images with rare classes, and class weights of the loss."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from unimask.datasets import Dataset
from unimask.datasets.statistics import SampleStatistics, measure_samples

LEAST_WEIGHT, MOST_WEIGHT = 0.1, 10.0
"""Smallest and largest weight of a class relative to the mean."""


def count_objects(
    dataset: Dataset, progress: Callable[[int, int], None] | None = None
) -> Int[np.ndarray, "n k"]:
    """Count the objects of each class in each image; zeros for unreadable images.

    Args:
        dataset: Labelled images, all of which are read.
        progress: Callback after each image with the numbers of images done and in total.
    """
    counts = np.zeros((len(dataset), len(dataset.labels)), np.int64)
    for index, facts in enumerate(measure_samples(dataset)):
        if isinstance(facts, SampleStatistics):
            counts[index] = facts.objects
        if progress is not None:
            progress(index + 1, len(dataset))
    return counts


def repeat_factors(counts: Int[np.ndarray, "n k"], threshold: float) -> Float[np.ndarray, " n"]:
    """Compute how often each image is repeated (LVIS, Gupta et al. 2019, 3.2).

    A class that occurs in a share f of the images has the factor max(1, sqrt(threshold / f)); an
    image has the largest factor of its classes.

    Args:
        counts: Number of objects of each class in each image.
        threshold: Share of the images, 0 to 1, below which a class is rare; LVIS uses 0.001.
    """
    occurs = counts > 0
    # The lower bound avoids a division by zero for classes that do not occur.
    share = np.maximum(occurs.mean(0), 1 / len(occurs))
    class_factors = np.maximum(1.0, np.sqrt(threshold / share))
    return np.where(occurs, class_factors, 1.0).max(1, initial=1.0)


def shuffled(
    images: int, factors: Float[np.ndarray, " n"] | None, seed: int, epoch: int
) -> Int[np.ndarray, " n"]:
    """Draw the order of an epoch, which has as many images as the dataset whatever the factors.

    Factors are rounded up or down at random in each epoch, so that they hold on average.

    Args:
        images: Number of images in the dataset.
        factors: Repeat factor of each image; None for one each.
        seed: Seed of the run.
        epoch: Number of the epoch, from 0.
    """
    random = np.random.default_rng((seed, epoch))
    if factors is None:
        return random.permutation(images)
    whole = np.floor(factors)
    times = (whole + (random.random(images) < factors - whole)).astype(np.int64)
    return random.permutation(np.repeat(np.arange(images), times))[:images]


def class_weights(counts: Int[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """Compute class weights of the loss: inversely proportional to the root of the objects' number.

    The mean over objects is 1, so that the class loss keeps its magnitude; classes without objects
    have weight 1.

    Args:
        counts: Number of objects of each class in each image.
    """
    objects = counts.sum(0).astype(np.float64)
    present = objects > 0
    if not present.any():
        return np.ones(len(objects))
    rarity = np.ones(len(objects))
    rarity[present] = 1 / np.sqrt(objects[present])
    rarity[present] /= (rarity * objects)[present].sum() / objects.sum()
    return np.where(present, rarity.clip(LEAST_WEIGHT, MOST_WEIGHT), 1.0)
