"""Balance of classes if most images show common classes only, as photos without defects do."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from unimask.config import PerPixelConfig, PerPixelPlusConfig, SegmenterConfig
from unimask.datasets import Dataset
from unimask.datasets.statistics import (
    LEAST_IMAGES,
    MOST_PLAIN,
    SampleStatistics,
    measure_sample,
    share_of_plain_images,
)
from unimask.processing.value_ranges import ignore_range_warnings

SAMPLED_IMAGES = 40
"""Number of images that are read."""


def measure_plain_share(dataset: Dataset) -> float:
    """Return the share of images without any of the rarer classes, from some evenly spaced ones.

    Args:
        dataset: Training images.
    """
    if len(dataset) < LEAST_IMAGES:
        return 0.0
    indices = range(0, len(dataset), -(-len(dataset) // SAMPLED_IMAGES))
    with ignore_range_warnings():  # only labels matter here, and training warns itself
        found = [measure_sample(dataset, index) for index in indices]
    shown = [facts.objects > 0 for facts in found if isinstance(facts, SampleStatistics)]
    return share_of_plain_images(np.array(shown).reshape(-1, len(dataset.labels)))


def choose_balance(
    config: SegmenterConfig, plain_share: float, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return settings that repeat and weight rare classes if most images are plain.

    Args:
        config: Architecture, whose classes are weighted if it has queries.
        plain_share: Share of the images without any of the rarer classes.
        given: Options that were given by name, which are not chosen.
    """
    if plain_share <= MOST_PLAIN:
        return {}
    chosen: dict[str, Any] = {"repeat_rare": 1.0}
    if not isinstance(config.transformer_decoder, PerPixelConfig | PerPixelPlusConfig):
        chosen["weigh_classes"] = True
    return {name: value for name, value in chosen.items() if name not in given}
