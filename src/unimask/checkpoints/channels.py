"""Networks of RGB pictures, changed to read other channels."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.checkpoints.checkpoint import Checkpoint
from unimask.checkpoints.skeleton import build_skeleton
from unimask.errors import CheckpointError

RGB = 3


def fit_channels(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], channels: int
) -> dict[str, Tensor]:
    """Give weights of RGB pictures the shapes that other channels want.

    Args:
        state: Weights under our names.
        wanted: The network's own tensors, for shapes.
        channels: Channels of its pictures.

    Raises:
        CheckpointError: Not only a first layer differs.
    """
    fitted = {}
    for name, tensor in state.items():
        shape, known = tuple(wanted[name].shape), tuple(tensor.shape)
        if known != shape:
            if known[1:2] != (RGB,) or shape != (known[0], channels, *known[2:]):
                raise CheckpointError(
                    f"{name} is {known} for RGB and {shape} for {channels} channels: "
                    "only weights of single channels can be fitted"
                )
            tensor = spread(tensor, channels)
        fitted[name] = tensor
    return fitted


def spread(weight: Float[Tensor, "o 3 i j"], channels: int) -> Float[Tensor, "o c i j"]:
    """Make a first layer for RGB one for other channels.

    With more channels, the first three are seen as RGB was, and the others start at zero: until
    they learn, the network predicts what it predicted of the first three. With fewer, it predicts
    what it did of a picture whose three channels are those few in turn: one is seen as grey was.
    (timm's `adapt_input_conv` mixes more channels cyclically instead, which would spoil what the
    weights know where the first three are RGB, as in RGB-D.)
    """
    if channels > RGB:
        return torch.cat(
            [weight, weight.new_zeros(len(weight), channels - RGB, *weight.shape[2:])], 1
        )
    parts = [weight[:, index::channels].sum(1) for index in range(channels)]
    return torch.stack(parts, 1)


def read_channels(model: str, checkpoint: Checkpoint, channels: int | None) -> Checkpoint:
    """Let a trained network read other channels; normalisation follows `PreprocessingConfig`.

    Args:
        model: What it is called in messages.
        checkpoint: The network.
        channels: Channels of its pictures; None leaves them.

    Raises:
        CheckpointError: It was trained for other channels than RGB.
    """
    backbone = checkpoint.config.backbone
    if channels is None or channels == backbone.in_channels:
        return checkpoint
    if backbone.in_channels != RGB:
        raise CheckpointError(
            f"{model} reads {backbone.in_channels} channels, and only weights of RGB can be fitted "
            f"to others: give {backbone.in_channels} channels, or weights of RGB"
        )
    config = replace(checkpoint.config, backbone=replace(backbone, in_channels=channels))
    wanted = build_skeleton(config).state_dict()
    return replace(
        checkpoint,
        config=config,
        state=fit_channels(checkpoint.state, wanted, channels),
        preprocessing=checkpoint.preprocessing.for_channels(channels),
    )
