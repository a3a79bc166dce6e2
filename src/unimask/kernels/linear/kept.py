"""What is made of weights for inference, kept for as long as the weights stay as they are."""

from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from unimask.kernels.linear.packed import packs

Made = TypeVar("Made")

State = tuple[tuple[StorageWeakRef, int], ...]

made: WeakKeyDictionary[nn.Module, tuple[State, object]] = WeakKeyDictionary()


def kept(module: nn.Module, make: Callable[[], Made]) -> Made:
    """Give `make()`, or what it gave before if the module's weights are those of then.

    Only where weights are packed is anything kept: it takes as much memory as they do. Weights
    that were moved, loaded or changed in place are noticed. Changes that PyTorch does not count
    are not: those through `.data`, and those of fused optimizers, but before a step of the latter
    comes a pass with gradients, which forgets what was kept.

    Args:
        module: Whose weights `make` reads; it may ask once.
        make: Must not give anything that refers to the module, or neither would ever be freed.
    """
    if torch.compiler.is_compiling():
        return make()
    weights = list(module.parameters())
    if any(weight.is_inference() or not packs(weight) for weight in weights):
        made.pop(module, None)
        return make()
    state = tuple(map(seen, weights))
    found = made.get(module)
    if found is None or found[0] != state:
        found = made[module] = state, make()
    return found[1]  # type: ignore[return-value]


def seen(weight: Tensor) -> tuple[StorageWeakRef, int]:
    """Tell a tensor's state: where it is, and how often it was changed there.

    A weak reference keeps no memory, yet no other storage is taken for this one once it is gone.
    """
    return StorageWeakRef(weight.untyped_storage()), weight._version


def forget(module: nn.Module) -> None:
    """Forget what was kept of a module whose weights learn from here on."""
    if not torch.compiler.is_compiling():
        made.pop(module, None)
