"""A graphics card that is none: tensors of a device of their own, whose arithmetic a CPU does.

They show without hardware what breaks on a GPU: an operator that meets tensors of two devices
raises, `numpy()` raises, and whatever lets the host wait for the card is counted.
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

WAITS = {
    "_local_scalar_dense", "_unique2", "equal", "is_nonzero", "masked_select", "nonzero",
    "repeat_interleave", "unique_consecutive", "unique_dim",
}  # fmt: skip
"""Operators that give the host a number, or something of a size that it must know."""

OWN = {
    "deformable_attention": deformable_attention_reference,
    "neighborhood_attention": tiles.operator._init_fn,
    "neighborhood_attention_backward": tiles.operator_backward._init_fn,
}
"""What our operators do: their own lines are to be judged."""


class Module(_DummyBackendModule):
    """What PyTorch asks of a kind of device."""

    def get_amp_supported_dtype(self):
        return [torch.bfloat16, torch.float16]

    def get_rng_state(self, device=None):
        """Return a state: PyTorch saves and restores that of every device, also in other tests."""
        return torch.zeros(0, dtype=torch.uint8)

    def set_rng_state(self, state, device=None):
        """Ignore the state."""


class CardTensor(torch.Tensor):
    """A tensor on the card; `held` is what the CPU computes with."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held):
        wrapped = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device="card:0",
        )
        wrapped.held = held
        return wrapped

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {}, None)


class Card(TorchDispatchMode):
    """Makes tensors on the card, and counts why the host waited for it.

    Attributes:
        doubles: Whether the card knows float64, as Apple's do not.
        waits: Values that the host read, by operator.
        sent: Tensors that it sent over.
    """

    def __init__(self, doubles):
        super().__init__()
        self.doubles, self.waits, self.sent = doubles, Counter(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {}, self)

    def note(self, name, args, ours, on_card):
        read = name == "_to_copy" and ours and not on_card
        chosen = tree_leaves(args[1]) if name.startswith("index.") else ()
        marks = [part for part in chosen if part is not None and part.dtype == torch.bool]
        if ours and (name in WAITS or read or marks):
            self.waits[name] += 1
        self.sent += name == "_to_copy" and on_card and not ours


class Numbers(TorchFunctionMode):
    """Moves numbers between host and card where PyTorch does it below all modes."""

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


def computed(func, args, kwargs, card):
    """Let the CPU compute what the card is asked for, if it has all that is needed."""
    name = str(func).split(".", 1)[1].removesuffix(".default")
    tensors = [part for part in tree_leaves((args, kwargs)) if isinstance(part, torch.Tensor)]
    ours = any(isinstance(part, CardTensor) for part in tensors)
    device = kwargs.get("device")
    on_card = ours if device is None else torch.device(device).type == "card"
    if not ours and not on_card:
        return func(*args, **kwargs)
    if func.namespace == "unimask":
        with card or nullcontext():
            return OWN[name](*args, **kwargs)
    strangers = [part for part in tensors if part.dim() and not isinstance(part, CardTensor)]
    if ours and strangers and name not in ("_to_copy", "copy_"):
        raise RuntimeError(f"{func} of tensors on the card and on the CPU")
    if card is not None:
        card.note(name, args, ours, on_card)
    if device is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    held = tree_map_only(CardTensor, lambda part: part.held, (args, kwargs))
    found = func(*held[0], **held[1])
    if card is not None and on_card and not card.doubles:
        made = [part for part in tree_leaves(found) if isinstance(part, torch.Tensor)]
        if any(part.dtype == torch.float64 for part in made):
            raise TypeError(f"{func}: the card has no float64")
    if func._schema.is_mutable:
        return written(func, args, kwargs)
    return tree_map_only(torch.Tensor, CardTensor, found) if on_card else found


def written(func, args, kwargs):
    """Give what an operator writes to, as it does itself."""
    names = [part.name for part in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    changed = [given[part.name] for part in func._schema.arguments if part.is_write]
    return changed[0] if len(func._schema.returns) == 1 else tuple(changed)


@contextmanager
def a_card(*, doubles=True):
    """Give the machine a card for a while, one that may know no float64."""
    if torch._C._get_privateuse1_backend_name() != "card":
        _setup_privateuseone_for_python_backend("card", Module())
    # PyTorch counted the devices that get a thread of their own at the first backward pass.
    with torch.autograd.set_multithreading_enabled(False), Numbers(), Card(doubles) as card:
        yield card


def carry(module):
    """Bring a module to the card."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                held = value.detach().clone()
                part._parameters[name] = torch.nn.Parameter(CardTensor(held), value.requires_grad)
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = CardTensor(value.clone())
    return module
