"""Activation checkpointing: layers recomputed in the backward pass (Chen et al. 2016)."""

from collections.abc import Callable
from functools import wraps

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from unimask.modeling.backbones.convnext import ConvNeXtBlock
from unimask.modeling.backbones.dinat import DiNATBlock
from unimask.modeling.backbones.resnet import BasicBlock, Bottleneck
from unimask.modeling.backbones.swin import SwinBlock
from unimask.modeling.layers.detr import DetrDecoderLayer, DetrEncoderLayer
from unimask.modeling.pixel_decoders import DeformableEncoderLayer
from unimask.modeling.transformer_decoders import MaskedDecoderLayer

REPEATED = (
    BasicBlock,
    Bottleneck,
    ConvNeXtBlock,
    DeformableEncoderLayer,
    DetrDecoderLayer,
    DetrEncoderLayer,
    DiNATBlock,
    MaskedDecoderLayer,
    SwinBlock,
)
"""Types of layers that networks repeat, which are recomputed."""


def recompute_layers(network: nn.Module) -> None:
    """Store only the inputs of a network's layers, and recompute their activations when needed.

    Gradients are unchanged, because dropout repeats its random numbers.
    """
    for module in network.modules():
        if isinstance(module, REPEATED):
            module.forward = recomputed(module.forward)


def recomputed(forward: Callable) -> Callable:
    """Wrap a forward method so that it is recomputed in the backward pass."""

    @wraps(forward)
    def call(*inputs: object) -> object:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        return checkpoint(forward, *inputs, use_reentrant=False)

    return call
