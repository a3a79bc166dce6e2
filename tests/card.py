"""A simulated graphics card: tensors of a separate device type, whose operators run on the CPU.

It detects without hardware what fails on a GPU: an operator that gets tensors of two devices
raises, `numpy()` raises, and each synchronisation of the host with the card is counted.
"""

from collections import Counter
from contextlib import contextmanager, nullcontext

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

from unimask.kernels.deformable_attention import deformable_attention_reference
from unimask.kernels.neighborhood_attention import tiles

SYNCHRONISING = {
    "_local_scalar_dense", "_unique2", "equal", "is_nonzero", "masked_select", "nonzero",
    "repeat_interleave", "unique_consecutive", "unique_dim",
}  # fmt: skip
"""Operators that return a number to the host, or a tensor whose size depends on values."""

REFERENCES = {
    "deformable_attention": deformable_attention_reference,
    "neighborhood_attention": tiles.operator._init_fn,
    "neighborhood_attention_backward": tiles.operator_backward._init_fn,
}
"""Implementations of our operators, which run on the simulated card line by line."""


class Module(_DummyBackendModule):
    """Module that PyTorch requires of a device type."""

    def get_amp_supported_dtype(self):
        return [torch.bfloat16, torch.float16]

    def get_rng_state(self, device=None):
        """Return an empty state, as PyTorch saves and restores the state of every device."""
        return torch.zeros(0, dtype=torch.uint8)

    def set_rng_state(self, state, device=None):
        """Ignore the state."""


class CardTensor(torch.Tensor):
    """Tensor on the card; `cpu_tensor` holds its values."""

    cpu_tensor: torch.Tensor

    @staticmethod
    def __new__(cls, cpu_tensor):
        wrapped = torch.Tensor._make_wrapper_subclass(
            cls,
            cpu_tensor.shape,
            strides=cpu_tensor.stride(),
            storage_offset=cpu_tensor.storage_offset(),
            dtype=cpu_tensor.dtype,
            device="card:0",
        )
        wrapped.cpu_tensor = cpu_tensor
        return wrapped

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute_on_cpu(func, args, kwargs or {}, None)


class Card(TorchDispatchMode):
    """Mode that creates tensors on the card and counts synchronisations of the host with it.

    Attributes:
        doubles: Whether the card supports float64, which Apple's do not.
        waits: Number of synchronisations by operator.
        sent: Number of tensors copied from the host to the card.
    """

    def __init__(self, has_float64):
        super().__init__()
        self.has_float64, self.synchronisations, self.sent = has_float64, Counter(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute_on_cpu(func, args, kwargs or {}, self)

    def note(self, name, args, ours, on_card):
        read = name == "_to_copy" and ours and not on_card
        chosen = tree_leaves(args[1]) if name.startswith("index.") else ()
        marks = [part for part in chosen if part is not None and part.dtype == torch.bool]
        if ours and (name in SYNCHRONISING or read or marks):
            self.synchronisations[name] += 1
        self.sent += name == "_to_copy" and on_card and not ours


class NumberTransfer(TorchFunctionMode):
    """Mode for transfers of numbers that PyTorch performs below all dispatch modes."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and "device" in kwargs:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is torch.Tensor.new_tensor:
            like, numbers = args
            return torch.tensor(numbers, dtype=kwargs.get("dtype", like.dtype)).to(like.device)
        if func is torch.Tensor.tolist:
            return args[0].cpu().tolist()
        return func(*args, **kwargs)


def compute_on_cpu(func, args, kwargs, card):
    """Run an operator of the card on the CPU, if all its tensors are on the card."""
    name = str(func).split(".", 1)[1].removesuffix(".default")
    tensors = [part for part in tree_leaves((args, kwargs)) if isinstance(part, torch.Tensor)]
    ours = any(isinstance(part, CardTensor) for part in tensors)
    device = kwargs.get("device")
    on_card = ours if device is None else torch.device(device).type == "card"
    if not ours and not on_card:
        return func(*args, **kwargs)
    if func.namespace == "unimask":
        with card or nullcontext():
            return REFERENCES[name](*args, **kwargs)
    cpu_tensors = [part for part in tensors if part.dim() and not isinstance(part, CardTensor)]
    if ours and cpu_tensors and name not in ("_to_copy", "copy_"):
        raise RuntimeError(f"{func} of tensors on the card and on the CPU")
    if card is not None:
        card.note(name, args, ours, on_card)
    if device is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    cpu_tensor = tree_map_only(CardTensor, lambda part: part.cpu_tensor, (args, kwargs))
    result = func(*cpu_tensor[0], **cpu_tensor[1])
    if card is not None and on_card and not card.has_float64:
        tensors_made = [part for part in tree_leaves(result) if isinstance(part, torch.Tensor)]
        if any(part.dtype == torch.float64 for part in tensors_made):
            raise TypeError(f"{func}: the card has no float64")
    if func._schema.is_mutable:
        return mutated_arguments(func, args, kwargs)
    return tree_map_only(torch.Tensor, CardTensor, result) if on_card else result


def mutated_arguments(func, args, kwargs):
    """Return the arguments that an operator modifies in place, as the operator itself does."""
    names = [part.name for part in func._schema.arguments]
    arguments = dict(zip(names, args, strict=False)) | kwargs
    changed = [arguments[part.name] for part in func._schema.arguments if part.is_write]
    return changed[0] if len(func._schema.returns) == 1 else tuple(changed)


@contextmanager
def fake_card(*, has_float64=True):
    """Add the simulated card within the context, with or without float64."""
    if torch._C._get_privateuse1_backend_name() != "card":
        _setup_privateuseone_for_python_backend("card", Module())
    # PyTorch fixed the number of per-device backward threads at the first backward pass.
    with (
        torch.autograd.set_multithreading_enabled(False),
        NumberTransfer(),
        Card(has_float64) as card,
    ):
        yield card


def move_to_card(module):
    """Move a module to the card."""
    for submodule in module.modules():
        for name, value in submodule._parameters.items():
            if value is not None:
                cpu_tensor = value.detach().clone()
                submodule._parameters[name] = torch.nn.Parameter(
                    CardTensor(cpu_tensor), value.requires_grad
                )
        for name, value in submodule._buffers.items():
            if value is not None:
                submodule._buffers[name] = CardTensor(value.clone())
    return module
