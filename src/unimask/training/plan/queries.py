"""Number of queries of a network, and images with more objects than queries."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from unimask.config import (
    MaskedDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    SegmenterConfig,
    TextConfig,
)
from unimask.datasets import Dataset
from unimask.datasets.interface import count_things
from unimask.datasets.statistics import SampleStatistics, measure_sample
from unimask.errors import SettingsError
from unimask.labels import Task
from unimask.training.plan.facts import Crowding, QueriesAdded, QueryLimitChanged

SAMPLED_IMAGES = 40
"""Number of images whose objects are counted if the counts require reading the images."""


def max_queries(config: SegmenterConfig) -> int:
    """Return the largest number of queries per image."""
    queries = config.transformer_decoder
    if isinstance(queries, PerPixelConfig | PerPixelPlusConfig):
        return config.num_classes
    if isinstance(queries, MaskedDecoderConfig) and queries.proposals:
        return queries.num_queries + queries.max_proposals
    return queries.num_queries


def with_queries(model: str, config: SegmenterConfig, count: int | None) -> SegmenterConfig:
    """Set the number of queries of an architecture; None leaves it unchanged.

    If queries are selected from the image, the number of learned queries is unchanged, and `count`
    is the largest total number.

    Args:
        model: Name of the network in messages.
        config: Architecture.
        count: Number of queries, or None.

    Raises:
        SettingsError: The network has no queries, or needs more.
    """
    if count is None:
        return config
    queries = config.transformer_decoder
    if isinstance(queries, PerPixelConfig | PerPixelPlusConfig):
        raise SettingsError(f"{model} classifies pixels, one by one: leave num_queries out")
    least = fixed_queries(config) + 1
    if count < least:
        raise SettingsError(f"num_queries is {count}: {model} needs {least} or more")
    if isinstance(queries, MaskedDecoderConfig) and queries.proposals:
        changed = replace(queries, max_proposals=count - queries.num_queries)
    else:
        changed = replace(queries, num_queries=count)
    return replace(config, transformer_decoder=changed)


def fixed_queries(config: SegmenterConfig) -> int:
    """Return the number of queries that cannot be changed."""
    queries = config.transformer_decoder
    if isinstance(queries, MaskedDecoderConfig) and queries.proposals:
        return queries.num_queries
    if config.task_queries is not None:  # queries contrasted with learned context
        return (config.text or TextConfig()).context
    return 0


def add_queries(
    model: str, trained: SegmenterConfig, count: int | None
) -> tuple[SegmenterConfig, QueriesAdded | QueryLimitChanged | None]:
    """Raise the number of queries of a trained network, whose own queries keep their weights.

    Args:
        model: Name of the network in messages.
        trained: Architecture of the trained network.
        count: New number of queries; None leaves it unchanged.

    Returns:
        The architecture, and the change, if any.

    Raises:
        SettingsError: The number would fall, or the network has no queries.
    """
    config = with_queries(model, trained, count)
    old, new = max_queries(trained), max_queries(config)
    if new == old:
        return trained, None
    queries = config.transformer_decoder
    if isinstance(queries, MaskedDecoderConfig) and queries.proposals:
        return config, QueryLimitChanged(old=old, new=new)
    if new < old:
        raise SettingsError(
            f"num_queries is {new}, but {model} was trained with {old}, of which none is spare: "
            f"pass {old} or more, or a preset"
        )
    return config, QueriesAdded(added=new - old, total=new)


def count_objects(dataset: Dataset) -> tuple[list[int], Int[np.ndarray, " n"]]:
    """Return images and the number of things in each: all images, or some if they must be read."""
    indices, counts = list(range(len(dataset))), count_things(dataset)
    if counts is None:
        indices = indices[:: -(-len(indices) // SAMPLED_IMAGES)]
        found = [measure_sample(dataset, index) for index in indices]
        counts = np.array([s.things if isinstance(s, SampleStatistics) else 0 for s in found])
    return indices, counts


def find_crowding(dataset: Dataset, queries: int, tasks: Sequence[Task]) -> Crowding | None:
    """Count the images with more objects than the network has queries.

    Objects of label lists are counted in all images. Of label maps, only some evenly spaced ones
    are read; `unimask check` reads all.

    Args:
        dataset: Training images.
        queries: Number of queries.
        tasks: Tasks to train for; semantic needs one mask per class only.

    Returns:
        The count; None if there is no such image.
    """
    if set(tasks) == {"semantic"}:
        return None
    indices, counts = count_objects(dataset)
    crowded, fullest = int((counts > queries).sum()), int(counts.argmax())
    if not crowded:
        return None
    return Crowding(
        crowded=crowded,
        counted=len(counts),
        images=len(dataset),
        queries=queries,
        fullest=dataset.paths[indices[fullest]].name,
        most_objects=int(counts[fullest]),
    )
