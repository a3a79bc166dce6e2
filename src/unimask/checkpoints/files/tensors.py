"""Files of tensors in any common format: pickles of numpy arrays, torch's own, safetensors."""

import pickle
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from unimask.checkpoints.files.pickled import convert_errors
from unimask.checkpoints.files.torch_save import read_legacy_torch, read_pickle, read_torch_zip
from unimask.errors import CheckpointError, one_line
from unimask.pickles.arrays import PickledArray

WEIGHT_KEYS = ("model", "state_dict")
"""Keys under which the authors (and most others) store the weights beside the training state."""

MAX_ELEMENTS_PER_BYTE = 2
"""Maximum number of elements in all tensors together, per byte of the file."""

LEGACY_TORCH_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""First bytes of files that torch before 1.6 wrote."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read weights by name, floating-point ones as float32, without executing code of the file.

    Raises:
        CheckpointError: The file cannot be read, is damaged, or holds anything but weights.
    """
    return read_tensors_and_rest(path)[0]


def read_tensors_and_rest(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Read weights as `read_tensors` does, and return the other content of the file too.

    Raises:
        CheckpointError: The file cannot be read, is damaged, or holds anything but weights.
    """
    content, rest = read_content(path), {}
    for key in WEIGHT_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content, rest = content[key], content
    if not isinstance(content, dict) or not content:
        raise CheckpointError(
            f"{path} contains no state dict, neither at the top level nor under 'model'"
        )
    tensors = {}
    for name, value in content.items():
        if isinstance(value, PickledArray) and value.array is not None:
            value = torch.from_numpy(value.array)
        if not isinstance(name, str) or not isinstance(value, Tensor):
            reason = f"{str(name)[:80]!r} is of type {type(value).__name__}"
            raise CheckpointError(f"{path} holds more than weights by name: {reason}")
        tensors[name] = value
    # Tensors may share memory in the file; converted to float32, each would have its own.
    if (
        sum(value.numel() for value in tensors.values())
        > MAX_ELEMENTS_PER_BYTE * path.stat().st_size
    ):
        raise CheckpointError(
            f"{path} has tensors that share memory and need far more than the file's size"
        )
    try:
        return {n: v.float() if v.is_floating_point() else v for n, v in tensors.items()}, rest
    except NotImplementedError as error:  # packed numbers
        raise CheckpointError(f"{path} has tensors of an unsupported dtype") from error


def read_content(path: Path) -> object:
    """Read a file in the format that its first bytes show, whatever its suffix."""
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
            if not head:
                raise CheckpointError(f"{path} is empty: download it again")
            if path.suffix == ".safetensors":
                return read_safetensors(path)
            with convert_errors(path):
                if zipfile.is_zipfile(path):
                    return read_torch_zip(path)
                return (read_legacy_torch if head.startswith(LEGACY_TORCH_MAGIC) else read_pickle)(
                    stream
                )
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read safetensors; the tensors are views of the memory-mapped file.

    Raises:
        CheckpointError: The file cannot be read, or is damaged.
    """
    try:
        return load_file(path)
    except Exception as error:  # exceptions of Rust, and of torch for invalid shapes
        reason = one_line(error)
        raise CheckpointError(f"{path} is damaged ({reason}): download it again") from error
