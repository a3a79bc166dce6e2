"""Layers whose activations can be recomputed in the backward pass (Chen et al. 2016)."""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class RecomputableLayer(nn.Module):
    """Base class of layers that networks repeat.

    Attributes:
        recompute: Whether training stores only the inputs of the layer, and recomputes its
            activations in the backward pass. Gradients are unchanged, because dropout repeats its
            random numbers.
    """

    recompute = False

    def __call__(self, *inputs: Any) -> Any:
        """Run the layer, with activation checkpointing if `recompute` is set."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(super().__call__, *inputs, use_reentrant=False)
        return super().__call__(*inputs)
