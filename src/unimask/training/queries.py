"""Number of queries of a network: set for untrained networks, raised for trained ones."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from unimask.checkpoints import Checkpoint
from unimask.config import (
    MaskedDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    SegmenterConfig,
    TextConfig,
)
from unimask.curation.facts import Facts, look_at
from unimask.datasets import Dataset
from unimask.datasets.interface import count_things
from unimask.errors import SettingsError
from unimask.labels import Task
from unimask.modeling.build import build_segmenter

TABLES = (
    "transformer_decoder.queries.features",
    "transformer_decoder.queries.positions",
    "transformer_decoder.query_positions.weight",
)
"""Names of the tensors with one row per query."""

LOOKED_AT = 40
"""Number of images whose objects are counted if the counts require reading the images."""


def most_queries(config: SegmenterConfig) -> int:
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


def raise_queries(model: str, checkpoint: Checkpoint, count: int | None) -> tuple[Checkpoint, str]:
    """Add untrained queries to a trained network, whose own queries keep their weights.

    OneFormer's last queries, which belong to the context of its texts, and its token stay last.

    Args:
        model: Name of the network in messages.
        checkpoint: Trained network.
        count: New number of queries; None leaves it unchanged.

    Returns:
        The network, and a description of the change.

    Raises:
        SettingsError: The number would fall, or the network has no queries.
    """
    config = with_queries(model, checkpoint.description.config, count)
    old, new = most_queries(checkpoint.description.config), most_queries(config)
    if new == old:
        return checkpoint, ""
    # Keep at least as many pairs of query and class as before, and at least one per query.
    rules = replace(
        checkpoint.description.postprocessing,
        top_k=max(checkpoint.description.postprocessing.top_k, new),
    )
    changed = replace(
        checkpoint,
        description=replace(checkpoint.description, config=config, postprocessing=rules),
    )
    queries = config.transformer_decoder
    if isinstance(queries, MaskedDecoderConfig) and queries.proposals:
        return changed, f", with up to {new} queries instead of {old}"
    if new < old:
        raise SettingsError(
            f"num_queries is {new}, but {model} was trained with {old}, of which none is spare: "
            f"give {old} or more, or a preset"
        )
    fresh = build_segmenter(config).state_dict()
    place = old - fixed_queries(config)
    state = dict(checkpoint.state)
    for name in TABLES:
        if name in state:
            added = fresh[name][: new - old].to(state[name])
            state[name] = torch.cat([state[name][:place], added, state[name][place:]])
    return replace(changed, state=state), f", {new - old} of its {new} queries are new"


def told_crowding(dataset: Dataset, queries: int, tasks: Sequence[Task]) -> str:
    """Format a warning if images have more objects than the network has queries, else "".

    Objects of label lists are counted in all images. Of label maps, only some evenly spaced ones
    are read; `unimask check` reads all.

    Args:
        dataset: Training images.
        queries: Number of queries.
        tasks: Tasks to train for; semantic needs one mask per class only.

    Returns:
        A line that starts with a line break, or "".
    """
    if set(tasks) == {"semantic"}:
        return ""
    indices, counts = list(range(len(dataset))), count_things(dataset)
    if counts is None:
        indices = indices[:: -(-len(indices) // LOOKED_AT)]
        looks = [look_at(dataset, index) for index in indices]
        counts = np.array([look.things if isinstance(look, Facts) else 0 for look in looks])
    crowded, fullest = int((counts > queries).sum()), int(counts.argmax())
    if not crowded:
        return ""
    return (
        f"\nwarning: {crowded} of {len(counts)} training images"
        f"{'' if len(counts) == len(dataset) else ' that were looked at'} hold more objects than "
        f"the network has queries ({queries}), {dataset.paths[indices[fullest]].name} "
        f"{counts[fullest]}: more are never found; --queries {counts[fullest]} has room for them"
    )
