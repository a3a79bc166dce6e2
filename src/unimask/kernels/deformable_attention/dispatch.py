"""Selection of the implementation of deformable attention: the device's, or a forced one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from unimask.errors import SettingsError
from unimask.kernels.deformable_attention.gather import gather_backward, gather_forward
from unimask.kernels.deformable_attention.reference import deformable_attention_reference

Name = Literal["gather", "reference", "triton"]

MIN_CAPABILITY = (8, 0)
"""Lowest compute capability that Triton supports."""

forced: Name | None = None


class Implementation(NamedTuple):
    """An implementation of deformable attention.

    Attributes:
        forward: Function with the arguments and the result of `deformable_attention_reference`,
            without autograd support.
        backward: Function of the gradient of the output and the same arguments; it returns the
            gradients of `value`, `offsets` and `logits`.
    """

    forward: Callable[..., Tensor]
    backward: Callable[..., tuple[Tensor, Tensor, Tensor]]


@contextmanager
def force_implementation(name: Name | None) -> Iterator[None]:
    """Use one implementation wherever deformable attention is called in the `with` block.

    By default CPUs use "gather", GPUs "triton" where it can be imported, and everything else,
    ONNX exporters included, "reference". Force "reference" to export PyTorch's own operators by
    `torch.export`, in place of one node `unimask::deformable_attention`.

    The choice holds for the whole process, threads included, in forward and backward passes. A
    graph captured under "reference" stays so; one captured otherwise is not affected.

    Args:
        name: "gather" needs CPU tensors; "triton" needs Triton, and GPU tensors unless Triton runs
            in interpreter mode; "reference" runs everywhere. None restores the default.

    Raises:
        SettingsError: There is no such implementation, or Triton is not installed.
    """
    global forced
    if name is not None and name not in get_args(Name):
        names = ", ".join(get_args(Name))
        raise SettingsError(f"no implementation {name!r}: choose one of {names}")
    if name == "triton" and not is_triton_installed():
        raise SettingsError("the implementation 'triton' needs Triton: pip install triton")
    before, forced = forced, name
    try:
        yield
    finally:
        forced = before


def needs_plain_operators() -> bool:
    """Return whether an exporter that only knows PyTorch's own operators is tracing the network.

    These are the exporters to ONNX and TorchScript.
    """
    if torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
        return True
    return torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export()


def implementation_name(value: Tensor) -> Name:
    """Return the name of the implementation for these values.

    Raises:
        SettingsError: The forced implementation does not run on their device.
    """
    kind = value.device.type
    if forced == "gather" and kind != "cpu":
        raise SettingsError(f"the implementation 'gather' runs on a CPU, not on {kind}")
    if forced == "triton" and kind == "cpu" and "TRITON_INTERPRET" not in os.environ:
        raise SettingsError(
            "the implementation 'triton' runs on a CPU only with TRITON_INTERPRET=1"
        )
    return forced or default_name(value.device)


def default_name(device: torch.device) -> Name:
    """Return the name of a device's fastest implementation."""
    if device.type == "cpu":
        return "gather"
    return "triton" if device.type == "cuda" and supports_triton(device) else "reference"


@cache
def supports_triton(device: torch.device) -> bool:
    """Return whether Triton is installed and supports this GPU."""
    is_amd = torch.version.hip is not None
    capable = is_amd or torch.cuda.get_device_capability(device) >= MIN_CAPABILITY
    return is_triton_installed() and capable


# What torch.compiler.assume_constant_result sets, which would import the compiler (a second).
supports_triton._dynamo_marked_constant = True  # type: ignore[attr-defined]


@cache
def is_triton_installed() -> bool:
    """Return whether Triton is installed, without importing it."""
    return find_spec("triton") is not None


def implementation(value: Tensor) -> Implementation:
    """Return the implementation behind the custom operator; Triton is imported at its first use.

    A forced "reference" replaces the operator, so it cannot be meant here: the device's default is
    returned. "reference" is what remains where a captured graph runs on a device without another.
    """
    name = default_name(value.device) if forced == "reference" else implementation_name(value)
    if name == "gather":
        return Implementation(gather_forward, gather_backward)
    if name == "reference":
        return Implementation(deformable_attention_reference, refuse_backward)
    from unimask.kernels.deformable_attention.triton_launch import triton_backward, triton_forward

    return Implementation(triton_forward, triton_backward)


def refuse_backward(grad_out: Tensor, *inputs: object) -> tuple[Tensor, Tensor, Tensor]:
    """Refuse the backward pass of the operator where only the reference runs.

    Raises:
        SettingsError: Always.
    """
    raise SettingsError(
        f"a captured graph has no gradients of deformable attention on {grad_out.device.type}: "
        "capture it there, or under force_implementation('reference')"
    )
