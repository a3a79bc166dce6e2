"""Adaptation of networks for RGB to other numbers of image channels."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.checkpoints.checkpoint import ModelDescription
from unimask.errors import CheckpointError

RGB = 3


def adapt_channels(
    state: Mapping[str, Tensor], target: Mapping[str, Tensor], channels: int
) -> dict[str, Tensor]:
    """Adapt weights for RGB images to another number of channels.

    Args:
        state: Weights under the names of our modules.
        target: State dict of the target network, for shapes.
        channels: Number of image channels of the target network.

    Raises:
        CheckpointError: Tensors differ in more than the channels of a first layer.
    """
    fitted = {}
    for name, tensor in state.items():
        shape, known = tuple(target[name].shape), tuple(tensor.shape)
        if known != shape:
            if known[1:2] != (RGB,) or shape != (known[0], channels, *known[2:]):
                raise CheckpointError(
                    f"{name} is {known} for RGB and {shape} for {channels} channels: "
                    "only first layers can be adapted"
                )
            tensor = adapt_first_layer(tensor, channels)
        fitted[name] = tensor
    return fitted


def adapt_first_layer(weight: Float[Tensor, "o 3 i j"], channels: int) -> Float[Tensor, "o c i j"]:
    """Adapt the weight of a first layer for RGB to another number of channels.

    With more channels, the first three take the weights of RGB and the others start at zero, so
    that before training the network predicts what it predicted for the first three. With fewer, it
    predicts what it did for an image that repeats the channels cyclically: a single channel is
    processed as grey was. (timm's `adapt_input_conv` repeats weights over additional channels
    instead, which would degrade pretrained weights where the first three channels are RGB, as in
    RGB-D.)
    """
    if channels > RGB:
        return torch.cat(
            [weight, weight.new_zeros(len(weight), channels - RGB, *weight.shape[2:])], 1
        )
    parts = [weight[:, index::channels].sum(1) for index in range(channels)]
    return torch.stack(parts, 1)


def with_channels(model: str, trained: ModelDescription, channels: int | None) -> ModelDescription:
    """Describe a trained network for another number of channels, including its normalisation.

    Args:
        model: Name of the model in messages.
        trained: Description of the trained network.
        channels: Number of image channels; None leaves the network unchanged.

    Raises:
        CheckpointError: The network was trained for channels other than RGB.
    """
    backbone = trained.config.backbone
    if channels is None or channels == backbone.in_channels:
        return trained
    if backbone.in_channels != RGB:
        raise CheckpointError(
            f"{model} reads {backbone.in_channels} channels, and only weights for RGB can be "
            f"adapted to others: use images of {backbone.in_channels} channels, or weights for RGB"
        )
    return replace(
        trained,
        config=replace(trained.config, backbone=replace(backbone, in_channels=channels)),
        preprocessing=trained.preprocessing.with_channels(channels),
    )
