"""Which deformable attention runs: that of the device, unless somebody asks for another."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from unimask.errors import SettingsError
from unimask.kernels.deformable_attention.gather import gather_gradients, gather_values
from unimask.kernels.deformable_attention.reference import deformable_attention_reference

Name = Literal["gather", "reference", "triton"]

OLDEST = (8, 0)
"""Compute capability that Triton promises to support."""

asked: Name | None = None


class Path(NamedTuple):
    """An implementation.

    Attributes:
        values: Takes and gives what `deformable_attention_reference` does; no gradients flow.
        gradients: Takes the gradient of the output, then the same arguments; gives those of
            `value`, `offsets` and `logits`.
    """

    values: Callable[..., Tensor]
    gradients: Callable[..., tuple[Tensor, Tensor, Tensor]]


@contextmanager
def use(name: Name | None) -> Iterator[None]:
    """Take one implementation wherever deformable attention is called in the `with` block.

    Nobody needs it: CPUs take "gather", graphics cards "triton" where it can be imported, all else
    "reference", and so do exporters to ONNX. But whoever hands on what `torch.export` gives may
    want its plain operators too, in place of one node `unimask::deformable_attention`.

    It holds for the whole process, threads included, for backward passes as for forward ones. A
    graph that was captured under "reference" stays so; another one takes no notice of it.

    Args:
        name: "gather" needs tensors on a CPU; "triton" needs Triton, and tensors on a graphics
            card unless Triton interprets; "reference" runs everywhere. None chooses as usual.

    Raises:
        SettingsError: There is no such implementation, or Triton is not installed.
    """
    global asked
    if name is not None and name not in get_args(Name):
        raise SettingsError(f"no path {name!r}: choose one of {', '.join(get_args(Name))}")
    if name == "triton" and not installed():
        raise SettingsError("the path 'triton' needs Triton: pip install triton")
    before, asked = asked, name
    try:
        yield
    finally:
        asked = before


def exporting_plainly() -> bool:
    """Say whether somebody writes down operators who knows PyTorch's alone (ONNX, TorchScript)."""
    if torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
        return True
    return torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export()


def chosen(value: Tensor) -> Name:
    """Say which implementation runs for these values.

    Raises:
        SettingsError: The one that was asked for does not run where they are.
    """
    kind = value.device.type
    if asked == "gather" and kind != "cpu":
        raise SettingsError(f"the path 'gather' runs on a CPU, not on {kind}")
    if asked == "triton" and kind == "cpu" and "TRITON_INTERPRET" not in os.environ:
        raise SettingsError("the path 'triton' runs on a CPU only with TRITON_INTERPRET=1")
    return asked or usual(value.device)


def usual(device: torch.device) -> Name:
    """Say which implementation runs if nobody asks for one."""
    if device.type == "cpu":
        return "gather"
    return "triton" if device.type == "cuda" and runs_triton(device) else "reference"


@cache
def runs_triton(device: torch.device) -> bool:
    """Say whether Triton is there, and knows this graphics card."""
    amd = torch.version.hip is not None
    return installed() and (amd or torch.cuda.get_device_capability(device) >= OLDEST)


# What torch.compiler.assume_constant_result sets, which would import the compiler (a second).
runs_triton._dynamo_marked_constant = True  # type: ignore[attr-defined]


@cache
def installed() -> bool:
    """Say whether Triton is there, without importing it."""
    return find_spec("triton") is not None


def find(value: Tensor) -> Path:
    """Give the implementation behind the operator; Triton is imported here, at its first use.

    Who asks for the reference gets it instead of the operator. Here it is what is left where an
    exported graph was brought to a device that nothing else runs on.
    """
    name = usual(value.device) if asked == "reference" else chosen(value)
    if name == "gather":
        return Path(gather_values, gather_gradients)
    if name == "reference":
        return Path(deformable_attention_reference, no_gradients)
    from unimask.kernels.deformable_attention.fused import fused_gradients, fused_values

    return Path(fused_values, fused_gradients)


def no_gradients(to_out: Tensor, *inputs: object) -> tuple[Tensor, Tensor, Tensor]:
    """Refuse: where only the reference runs, its plain operators were to be captured.

    Raises:
        SettingsError: Always.
    """
    raise SettingsError(
        f"a captured graph has no gradients of deformable attention on {to_out.device.type}: "
        "capture it there, or under use('reference')"
    )
