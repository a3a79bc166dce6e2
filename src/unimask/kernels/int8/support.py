"""Whether this processor and this torch compute in int8."""

import torch

OPERATORS = ("qlinear_pointwise", "qlinear_prepack", "qconv2d_pointwise", "qconv_prepack")
"""Operators of oneDNN that are used."""


def find_int8_obstacle(device: torch.device) -> str | None:
    """Return why int8 cannot be used on a device, or None if it can.

    Without VNNI, oneDNN adds pairs of 8-bit products in 16 bits, where they saturate.
    """
    if device.type != "cpu":
        return f"int8 is computed on CPUs only, not on {device}: choose device cpu or bfloat16"
    if not all(hasattr(torch.ops.onednn, name) for name in OPERATORS):
        return f"torch {torch.__version__} has no int8 operators of oneDNN: choose float32"
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    if supported is None or not supported():
        return "this processor has no AVX-512 VNNI, which int8 needs: choose float32"
    return None
