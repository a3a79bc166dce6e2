"""Choice of the dtype of weights and computation."""

import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from unimask.errors import SettingsError, UnimaskWarning
from unimask.inference.dtype_speed import measured_speedups

Dtype = Literal["float32", "bfloat16", "float16", "int8", "auto"]

MIN_SPEEDUP = 1.3
"""Times as fast as float32 that a CPU must compute in bfloat16 for it to be chosen."""

SMALL = 10_000_000
"""Number of parameters below which a network's layers are narrow."""


class LoadWarning(UnimaskWarning):
    """Warning that a default was chosen or assumed while a model was loaded."""


@dataclass(frozen=True, slots=True)
class FastestDtype:
    """Dtype in which a network is fastest on a device.

    Attributes:
        dtype: The dtype.
        speedup: Measured time in float32 / time in bfloat16; None where it is not measured.
    """

    dtype: torch.dtype
    speedup: float | None = None


def fastest_dtype(device: torch.device, network: nn.Module, *, training: bool) -> FastestDtype:
    """Find the dtype in which a network is fastest, among those with enough range for its masks.

    A GPU computes in bfloat16 if it has instructions for it. On a CPU, both types are measured.

    Args:
        device: Device of the computation.
        network: The network, on any device.
        training: Whether it is trained, under autocast for bfloat16.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return FastestDtype(torch.bfloat16 if native else torch.float16)
    if device.type != "cpu":
        return FastestDtype(torch.float32)
    measured = measured_speedups(training=training)
    speedup = measured.combined(memory_bound=is_memory_bound(network))
    return FastestDtype(torch.bfloat16 if speedup >= MIN_SPEEDUP else torch.float32, speedup)


def is_memory_bound(network: nn.Module) -> bool:
    """Return whether reading and writing maps takes most of a network's time on a CPU.

    It does with depthwise convolutions, and in small networks, whose layers are narrow.
    """
    return sum(weight.numel() for weight in network.parameters()) < SMALL or any(
        isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1
        for layer in network.modules()
    )


def check_dtype(dtype: str) -> None:
    """Raise SettingsError for an unknown name of a dtype.

    Raises:
        SettingsError: The name is unknown.
    """
    if dtype not in get_args(Dtype):
        names = ", ".join(get_args(Dtype))
        raise SettingsError(f"unknown dtype {dtype!r}: choose one of {names}")


def choose_dtype(dtype: str, device: torch.device, network: nn.Module) -> torch.dtype:
    """Return the dtype of a network's weights for a name; for "auto", warn which one was chosen.

    Networks in int8 keep weights in float32, from which those of 8 bits are computed.
    """
    if dtype == "int8":
        return torch.float32
    if dtype != "auto":
        return getattr(torch, dtype)
    fastest = fastest_dtype(device, network, training=False)
    name = str(fastest.dtype).removeprefix("torch.")
    measured = "" if fastest.speedup is None else f" ({describe_speedup(fastest.speedup)})"
    warnings.warn(f"dtype auto: {name} on {device}{measured}", LoadWarning, stacklevel=3)
    return fastest.dtype


def describe_speedup(speedup: float) -> str:
    """Describe how fast the processor is in bfloat16."""
    if speedup >= 1:
        return f"bfloat16 measured {speedup:.1f} times as fast as float32"
    return f"bfloat16 measured {1 / speedup:.1f} times as slow as float32"
