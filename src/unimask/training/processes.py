"""The processes of a run: joining those that `torchrun` started, and leaving them in peace."""

import atexit
import os
import shlex
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unimask.errors import MissingExtraError, SettingsError
from unimask.inference.load import available_devices
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


EXTRA = (("lightning_fabric", "lightning-fabric"), ("matplotlib",) * 2, ("tokenizers",) * 2)
"""Modules of the extra `train` that every run or some runs import, and their packages."""


def require_extra() -> None:
    """Refuse to start what would fail for want of a package.

    Raises:
        MissingExtraError: The extra `train` is not installed.
    """
    for module, package in EXTRA:
        if find_spec(module) is None:
            raise MissingExtraError(package, "train")


def is_first_process() -> bool:
    """Return whether this is the process that writes and prints for all of a run.

    `torchrun` numbers the processes of a run in the environment; a process without number is alone.
    """
    return os.environ.get("RANK", "0") == "0"


def resume_command(folder: Path) -> str:
    """Return the command line that continues the run of a folder, started as this process was."""
    options = f"train --resume --out {shlex.quote(str(folder))}"
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return f"unimask {options}"
    here, everywhere = os.environ.get("LOCAL_WORLD_SIZE", "1"), os.environ.get("WORLD_SIZE", "1")
    if here == everywhere:
        return f"torchrun --standalone --nproc-per-node {here} -m unimask {options}"
    return f"torchrun, on each machine as before, with: -m unimask {options}"


def check_device(device: str) -> None:
    """Refuse a device that training cannot use here, without touching any.

    Raises:
        SettingsError: It is unknown, or this machine has none.
    """
    here = available_devices()
    known = ("auto", *here, *(["gpu"] if len(here) > 1 else []))
    if device not in known:
        raise SettingsError(f"--device {device}: this machine has {', '.join(known)}")
    if ":" in device and "LOCAL_WORLD_SIZE" in os.environ:
        raise SettingsError(f"--device {device}: each process of torchrun takes its own: give cuda")


def launch(device: str, precision: str) -> "Fabric":
    """Join the processes that `torchrun` started, or stand alone.

    Args:
        device: As `check_device` takes it.
        precision: "float32" or "bfloat16".
    """
    from lightning_fabric import Fabric

    kind, _, index = device.partition(":")
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    everywhere = int(os.environ.get("WORLD_SIZE", here))
    fabric = Fabric(
        accelerator=kind,
        devices=[int(index)] if index else here or 1,
        num_nodes=everywhere // here if here else 1,
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    if fabric.device.type == "cpu":
        keep_freed_memory()
        if fabric.world_size > 1:
            atexit.register(time.sleep, LETTING_GO)
    return fabric
