"""Networks without weights: for those that follow at once, or for names and shapes alone."""

from collections.abc import Callable

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from unimask.config import SegmenterConfig
from unimask.modeling.build import build_segmenter
from unimask.modeling.segmenter import Segmenter


def build_skeleton(config: SegmenterConfig) -> Segmenter:
    """Build a network whose weights hold whatever was in memory.

    Random ones take seconds to draw for a large network. Memory that nobody writes to costs
    nothing, and the "meta" device would start PyTorch's compiler, which takes a second.
    """
    with UndrawnWeights():
        return build_segmenter(config)


class UndrawnWeights(TorchFunctionMode):
    """Leave out what fills tensors with random numbers."""

    DRAWS = frozenset(
        {
            torch.Tensor.normal_,
            torch.Tensor.uniform_,
            nn.init.kaiming_uniform_,
            nn.init.normal_,
            nn.init.uniform_,
        }
    )

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """Skip a draw."""
        kwargs = kwargs or {}
        if func in self.DRAWS:
            return args[0] if args else kwargs["tensor"]
        if func is torch.randn:
            return torch.empty(*args, **kwargs)
        return func(*args, **kwargs)
