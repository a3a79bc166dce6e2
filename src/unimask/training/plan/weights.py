"""Weights of the initial network: random ones, and the trained ones that fit."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.checkpoints import Checkpoint, adapt_channels, read_backbone
from unimask.checkpoints.channels import RGB
from unimask.checkpoints.skeleton import build_skeleton
from unimask.config import SegmenterConfig
from unimask.modeling.build import build_segmenter
from unimask.modeling.segmenter import Segmenter
from unimask.training.plan.network import InitialNetwork
from unimask.training.plan.queries import fixed_queries

QUERY_TABLES = (
    "transformer_decoder.queries.features",
    "transformer_decoder.queries.positions",
    "transformer_decoder.queries",
    "transformer_decoder.query_positions.weight",
)
"""Names of the tensors with one row per query."""


def build_network(initial: InitialNetwork, seed: int, *, read_backbone: bool = True) -> Segmenter:
    """Build the network with random weights, and load the trained weights that fit.

    Args:
        initial: Network to build, and the trained weights to load.
        seed: Seed of the random weights.
        read_backbone: Whether to read the backbone's pretrained weights.

    Raises:
        CheckpointError: Trained weights cannot be read, or do not fit.
    """
    torch.manual_seed(seed)
    config = initial.description.config
    network = build_segmenter(config)
    own = network.state_dict()
    if initial.trained is not None:
        own = fit_weights(initial.trained, own, config, initial.new_parts)
        network.load_state_dict(own)
    elif initial.backbone_weights is not None and read_backbone:
        own |= fit_backbone(initial.backbone_weights, own, config)
        network.load_state_dict(own)
    return network


def fit_weights(
    trained: Checkpoint,
    own: Mapping[str, Tensor],
    config: SegmenterConfig,
    new_parts: tuple[str, ...],
) -> dict[str, Tensor]:
    """Return a network's state dict, with trained weights in all but the new parts.

    Args:
        trained: Trained weights.
        own: State dict of the network, whose weights fill the new parts and additional queries.
        config: Architecture of the network.
        new_parts: Prefixes of the tensors that keep the network's own weights.

    Raises:
        CheckpointError: A tensor differs in more than queries and channels.
    """
    state = {n: own[n] if n.startswith(new_parts) else trained.state[n] for n in own}
    for name in QUERY_TABLES:
        if name in state and len(state[name]) < len(own[name]):
            state[name] = insert_queries(state[name], own[name], fixed_queries(config))
    return adapt_channels(state, own, config.backbone.in_channels)


def insert_queries(
    trained: Float[Tensor, "q c"], own: Float[Tensor, "n c"], fixed: int
) -> Float[Tensor, "n c"]:
    """Insert new queries before the last `fixed` trained queries.

    OneFormer's last queries belong to the context of its texts, and must stay last.
    """
    place = len(trained) - fixed
    new = own[: len(own) - len(trained)].to(trained)
    return torch.cat([trained[:place], new, trained[place:]])


def fit_backbone(
    file: str, own: Mapping[str, Tensor], config: SegmenterConfig
) -> dict[str, Tensor]:
    """Read a backbone for RGB images, and adapt it to the network's number of channels."""
    rgb = replace(config, backbone=replace(config.backbone, in_channels=RGB))
    expected = dict(own) if rgb == config else build_skeleton(rgb).state_dict()
    loaded = read_backbone(Path(file).expanduser(), rgb.backbone, expected)
    return adapt_channels(loaded, own, config.backbone.in_channels)
