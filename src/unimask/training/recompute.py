"""Activation checkpointing of a network (Chen et al. 2016)."""

from torch import nn

from unimask.modeling.layers.recomputable import RecomputableLayer


def recompute_layers(network: nn.Module) -> None:
    """Set the repeated layers of a network to recompute their activations in the backward pass."""
    for module in network.modules():
        if isinstance(module, RecomputableLayer):
            module.recompute = True
