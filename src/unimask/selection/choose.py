"""Choice of informative images that differ from one another (greedy k-center, weighted)."""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata


def rank_shares(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Replace values by their ranks, from 0 to 1; equal values share a rank, NaN has 0.5."""
    shares = np.full(len(values), 0.5)
    known = ~np.isnan(values)
    if known.sum() > 1:
        shares[known] = (rankdata(values[known]) - 1) / (known.sum() - 1)
    return shares


def choose_images(
    informativeness: Float[np.ndarray, " n"],
    features: Float[np.ndarray, "n f"],
    labelled: Float[np.ndarray, "m f"],
    count: int,
) -> list[int]:
    """Choose images one by one: the largest product of informativeness and distance.

    The distance is that of an image's features to the nearest of the chosen and labelled images
    (k-center greedy, Sener and Savarese 2018). Without labelled images, the first image is the most
    informative one.

    Args:
        informativeness: Value of each image, at least 0.
        features: Features of each image.
        labelled: Features of images with labels.
        count: Number of images to choose; at most n are chosen.

    Returns:
        Indices of the chosen images, in the order of choice.
    """
    distances = np.full(len(features), np.inf)
    for row in labelled:
        np.minimum(distances, np.linalg.norm(features - row, axis=1), out=distances)
    chosen: list[int] = []
    is_free = np.ones(len(features), bool)
    for _ in range(min(count, len(features))):
        far = np.where(np.isinf(distances), 1.0, distances)
        gains = np.where(is_free, informativeness * far, -1.0)
        index = int(gains.argmax())
        chosen.append(index)
        is_free[index] = False
        np.minimum(distances, np.linalg.norm(features - features[index], axis=1), out=distances)
    return chosen
