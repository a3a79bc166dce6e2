"""Tensors derived from weights for inference, cached until the weights change."""

from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from unimask.kernels.linear.prepacked import can_prepack

Value = TypeVar("Value")

WeightState = tuple[tuple[StorageWeakRef, int], ...]

cache: WeakKeyDictionary[nn.Module, tuple[WeightState, object]] = WeakKeyDictionary()


def cached_for_weights(module: nn.Module, compute: Callable[[], Value]) -> Value:
    """Return `compute()`, or its cached value if the module's weights have not changed since.

    Values are cached only where weights can be prepacked: a prepacked copy takes as much memory as
    the weights. Weights that were moved, loaded or modified in place invalidate the cache. PyTorch
    does not count modifications through `.data` and those of fused optimizers; the latter follow a
    forward pass with gradients, which drops the cached value (`drop_cached`).

    Args:
        module: Module whose parameters and buffers `compute` reads; one value is cached per module.
        compute: Function without arguments. Its result must not refer to the module, or neither
            would ever be freed.
    """
    if torch.compiler.is_compiling():
        return compute()
    statistics = (buffer for buffer in module.buffers() if buffer.is_floating_point())
    weights = [*module.parameters(), *statistics]
    if any(weight.is_inference() or not can_prepack(weight) for weight in weights):
        cache.pop(module, None)
        return compute()
    state = tuple(map(weight_state, weights))
    entry = cache.get(module)
    if entry is None or entry[0] != state:
        entry = cache[module] = state, compute()
    return entry[1]  # type: ignore[return-value]


def weight_state(weight: Tensor) -> tuple[StorageWeakRef, int]:
    """Return the storage of a tensor and the number of in-place modifications so far.

    A weak reference keeps no memory alive, and never equals one to a storage allocated later.
    """
    return StorageWeakRef(weight.untyped_storage()), weight._version


def drop_cached(module: nn.Module) -> None:
    """Drop the cached value of a module whose weights are about to be trained."""
    if not torch.compiler.is_compiling():
        cache.pop(module, None)
