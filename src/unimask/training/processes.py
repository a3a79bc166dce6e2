"""The processes of a run: joining those that `torchrun` started, and leaving them in peace."""

import atexit
import os
import time
from typing import TYPE_CHECKING, Any

from unimask.errors import MissingExtraError
from unimask.kernels.memory import keep_freed_memory

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}

LETTING_GO = 0.2
"""Seconds for which a process that is done leaves the interpreter to gloo's threads.

They let go of the tensors they sent, and need the interpreter for it. A thread that asks for a
closing interpreter is ended by CPython before 3.14 in a way that aborts the whole process, on
which `torchrun` kills the others, one of which may still be writing.
"""


def launch(device: str, precision: str) -> "Fabric":
    """Join the processes that `torchrun` started, or stand alone.

    Args:
        device: Such as "cpu" or "cuda".
        precision: "float32" or "bfloat16".

    Raises:
        MissingExtraError: The extra `train` is not installed.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise MissingExtraError("lightning-fabric", "train") from None
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    everywhere = int(os.environ.get("WORLD_SIZE", here))
    fabric = Fabric(
        accelerator=device,
        devices=here or (1 if device == "cpu" else "auto"),
        num_nodes=everywhere // here if here else 1,
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    if fabric.device.type == "cpu":
        keep_freed_memory()
        if fabric.world_size > 1:
            atexit.register(time.sleep, LETTING_GO)
    return fabric
