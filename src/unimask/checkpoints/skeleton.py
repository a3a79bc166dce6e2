"""Networks with uninitialised weights, to be loaded at once or used for names and shapes."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from unimask.config import SegmenterConfig
from unimask.errors import CheckpointError
from unimask.modeling.build import build_segmenter
from unimask.modeling.segmenter import Segmenter


def build_skeleton(config: SegmenterConfig, max_elements: float = math.inf) -> Segmenter:
    """Build a network whose weights are uninitialised.

    Drawing random weights takes seconds for a large network, and memory that is not written to
    takes none. The "meta" device would start PyTorch's compiler, which takes a second.

    Args:
        config: Configuration of the network.
        max_elements: Maximum number of elements of all tensors together.

    Raises:
        CheckpointError: The tensors would have more; nothing of that size is allocated.
    """
    with SkipInitialisation(max_elements):
        return build_segmenter(config)


class SkipInitialisation(TorchFunctionMode):
    """Mode that skips random initialisation and counts the elements of allocated tensors.

    Args:
        max_elements: Maximum number of elements to allocate.
    """

    INITIALISERS = frozenset(
        {
            torch.Tensor.normal_,
            torch.Tensor.uniform_,
            nn.init.kaiming_uniform_,
            nn.init.normal_,
            nn.init.uniform_,
        }
    )
    ALLOCATIONS = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.randn})

    def __init__(self, max_elements: float) -> None:
        super().__init__()
        self.element_budget = max_elements

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """Skip random draws, and count allocations before they are made."""
        kwargs = kwargs or {}
        if func in self.INITIALISERS:
            return args[0] if args else kwargs["tensor"]
        if func in self.ALLOCATIONS:
            self.element_budget -= count_elements(*args, **kwargs)
            if self.element_budget < 0:
                raise CheckpointError("the network is described as far larger than its weights")
        if func is torch.randn:
            return torch.empty(*args, **kwargs)
        return func(*args, **kwargs)


def count_elements(*size: Any, **options: Any) -> int:
    """Compute the number of elements of a tensor from the arguments of `torch.empty`."""
    first = size[0] if size else options["size"]
    return math.prod(first if isinstance(first, Sequence) else size)
