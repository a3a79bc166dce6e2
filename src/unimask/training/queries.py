"""How many masks a network may propose: chosen for untrained networks, raised for trained ones."""

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
from unimask.datasets.found import count_things
from unimask.errors import SettingsError
from unimask.labels import Task
from unimask.modeling.build import build_segmenter

TABLES = (
    "transformer_decoder.queries.features",
    "transformer_decoder.queries.positions",
    "transformer_decoder.query_positions.weight",
)
"""Tensors with one row per query."""

LOOKED_AT = 40
"""Pictures whose objects are counted where only a look at them tells."""


def most_queries(config: SegmenterConfig) -> int:
    """Give the number of queries of a large picture."""
    queries = config.transformer_decoder
    if isinstance(queries, PerPixelConfig | PerPixelPlusConfig):
        return config.num_classes
    if isinstance(queries, MaskedDecoderConfig) and queries.proposals:
        return queries.num_queries + queries.max_proposals
    return queries.num_queries


def with_queries(model: str, config: SegmenterConfig, count: int | None) -> SegmenterConfig:
    """Give an architecture a number of queries; None leaves it.

    Where queries are taken from the picture, the learned ones stay as they are, and `count` is the
    most that there are in all.

    Args:
        model: What the network is called in messages.
        config: The architecture.
        count: Queries.

    Raises:
        SettingsError: The network has none, or needs more.
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
    """Count the queries that a network has besides those whose number is free."""
    queries = config.transformer_decoder
    if isinstance(queries, MaskedDecoderConfig) and queries.proposals:
        return queries.num_queries
    if config.task_queries is not None:  # as many as learn from vectors that belong to no text
        return (config.text or TextConfig()).context
    return 0


def raise_queries(model: str, checkpoint: Checkpoint, count: int | None) -> tuple[Checkpoint, str]:
    """Give a trained network more queries: its own keep their weights, the others are untrained.

    OneFormer's last queries, which learn from the context of its texts, and its token stay last.

    Args:
        model: What the network is called in messages.
        checkpoint: The trained network.
        count: Queries; None leaves them.

    Returns:
        The network, and words on what is new.

    Raises:
        SettingsError: There would be fewer, or the network has none.
    """
    config = with_queries(model, checkpoint.config, count)
    old, new = most_queries(checkpoint.config), most_queries(config)
    if new == old:
        return checkpoint, ""
    # As many pairs of query and class are kept as before, and at least one for each query.
    rules = replace(checkpoint.postprocessing, top_k=max(checkpoint.postprocessing.top_k, new))
    changed = replace(checkpoint, config=config, postprocessing=rules)
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
    """Say that pictures hold more objects than a network proposes masks; empty if they do not.

    Lists of objects tell how many there are. Of maps some are read, evenly spaced: `unimask check`
    counts all.

    Args:
        dataset: To learn from.
        queries: Masks per picture.
        tasks: That are trained; semantic has one mask per class.

    Returns:
        A line of its own, with the line end before it.
    """
    if set(tasks) == {"semantic"}:
        return ""
    chosen, counts = list(range(len(dataset))), count_things(dataset)
    if counts is None:
        chosen = chosen[:: -(-len(chosen) // LOOKED_AT)]
        looks = [look_at(dataset, index) for index in chosen]
        counts = np.array([look.things if isinstance(look, Facts) else 0 for look in looks])
    crowded, fullest = int((counts > queries).sum()), int(counts.argmax())
    if not crowded:
        return ""
    return (
        f"\nwarning: {crowded} of {len(counts)} training pictures"
        f"{'' if len(counts) == len(dataset) else ' that were looked at'} hold more objects than "
        f"the network has queries ({queries}), {dataset.paths[chosen[fullest]].name} "
        f"{counts[fullest]}: more are never found; --queries {counts[fullest]} has room for them"
    )
