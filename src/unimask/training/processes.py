"""Processes of a run: start under `torchrun`, and safe exit."""

import atexit
import logging
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unimask.errors import MissingExtraError, SettingsError
from unimask.inference.load import available_devices
from unimask.kernels.memory import keep_freed_memory

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}

EXIT_DELAY_SECONDS = 0.2
"""Seconds to wait at exit, so that gloo's threads can release the tensors that they sent.

They need the interpreter for it. Before CPython 3.14, a thread that needs an interpreter during
shutdown aborts the whole process; `torchrun` then kills the other processes, one of which may still
be writing.
"""


EXTRA = (("lightning_fabric", "lightning-fabric"), ("matplotlib",) * 2, ("tokenizers",) * 2)
"""Modules that training imports, and the packages of the extra `train` that have them."""


def require_extra() -> None:
    """Check that the packages of the extra `train` are installed.

    Raises:
        MissingExtraError: A package is not installed.
    """
    for module, package in EXTRA:
        if find_spec(module) is None:
            raise MissingExtraError(package, "train")


def is_first_process() -> bool:
    """Return whether this process writes and prints for all processes of a run.

    `torchrun` stores the number of a process in the environment; without it there is one process.
    """
    return os.environ.get("RANK", "0") == "0"


def resume_command(folder: Path) -> str:
    """Format the command that resumes the run of a folder with the same launcher."""
    options = f"train --resume --out {shlex.quote(str(folder))}"
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return f"unimask {options}"
    here, everywhere = os.environ.get("LOCAL_WORLD_SIZE", "1"), os.environ.get("WORLD_SIZE", "1")
    if here == everywhere:
        return f"torchrun --standalone --nproc-per-node {here} -m unimask {options}"
    return f"torchrun, on each machine as before, with: -m unimask {options}"


def check_device(device: str) -> None:
    """Raise SettingsError if a device is not available, without initialising any.

    Raises:
        SettingsError: The name is unknown, or this machine has no such device.
    """
    here = available_devices()
    allowed = ("auto", *here, *(["gpu"] if len(here) > 1 else []))
    if device not in allowed:
        raise SettingsError(f"--device {device}: this machine has {', '.join(allowed)}")
    if ":" in device and "LOCAL_WORLD_SIZE" in os.environ:
        raise SettingsError(f"--device {device}: each process of torchrun takes its own: pass cuda")


@contextmanager
def without_info(name: str) -> Iterator[None]:
    """Suppress a library's log messages below the level of warnings."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)


def build_fabric(device: str, precision: str) -> "Fabric":
    """Build Fabric for the processes of `torchrun`, or for one process."""
    from lightning_fabric import Fabric

    kind, _, index = device.partition(":")
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    everywhere = int(os.environ.get("WORLD_SIZE", here))
    with without_info("lightning_fabric"):  # it prints the precision, which the plan states
        return Fabric(
            accelerator=kind,
            devices=[int(index)] if index else here or 1,
            num_nodes=everywhere // here if here else 1,
            precision=PRECISIONS[precision],
        )


def launch(device: str, precision: str) -> "Fabric":
    """Start Fabric with the processes of `torchrun`, or with one process.

    All compute in the precision of the first process, as each one measures its own processor.

    Args:
        device: Device name as for `check_device`.
        precision: "float32" or "bfloat16".
    """
    fabric = build_fabric(device, precision)
    fabric.launch()
    agreed = fabric.broadcast(precision)
    if agreed != precision:
        fabric = build_fabric(device, agreed)
        fabric.launch()
    if fabric.device.type == "cpu":
        keep_freed_memory()
        if fabric.world_size > 1:
            atexit.register(time.sleep, EXIT_DELAY_SECONDS)
    return fabric
