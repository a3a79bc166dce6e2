"""Make torchvision importable beside CPU builds of PyTorch.

PyPI's torchvision is linked against CUDA. Beside a CPU build its import fails at the first
operator that it describes. timm imports torchvision, and transformers does where it is installed;
neither uses its operators in these tests.
"""

from importlib import import_module
from importlib.util import find_spec

import torch

libraries: list[torch.library.Library] = []
"""Declared operators; they are removed when this reference is."""


def import_torchvision() -> None:
    """Import torchvision if it is installed; declare the operators that it misses."""
    if find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        libraries.append(library)
        import_module("torchvision")


import_torchvision()
