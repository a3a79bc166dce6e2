"""Computation in int8: whether this machine supports it, and the name of a network's precision."""

import torch

from unimask.errors import SettingsError
from unimask.kernels.int8 import computes_in_int8, find_int8_obstacle


def check_int8(device: torch.device, *, compile: bool) -> None:
    """Refuse int8 where it cannot be computed.

    Args:
        device: Device of the network.
        compile: Whether compilation is requested.

    Raises:
        SettingsError: Device, torch or processor do not support int8, or compilation is requested.
    """
    obstacle = find_int8_obstacle(device)
    if obstacle is not None:
        raise SettingsError(f"dtype int8: {obstacle}")
    if compile:
        raise SettingsError("dtype int8 cannot be compiled: leave out compile, or the dtype")


def precision_name(network: object, dtype: torch.dtype) -> str:
    """Return the name of the dtype in which a network multiplies, as `load` takes it.

    Args:
        network: Network of PyTorch or of another runtime.
        dtype: Dtype of its weights or inputs.
    """
    return "int8" if computes_in_int8(network) else str(dtype).removeprefix("torch.")
