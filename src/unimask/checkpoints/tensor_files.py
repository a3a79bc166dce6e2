"""Files of tensors, whoever wrote them: pickles of numpy arrays, torch's own, safetensors."""

import pickle
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from unimask.checkpoints.pickled import Draft, telling
from unimask.checkpoints.torch_files import read_old_torch, read_pickle, read_torch_zip
from unimask.errors import CheckpointError

WRAPPERS = ("model", "state_dict")
"""Keys under which the authors (and most others) keep the weights, beside what training needs."""

MAX_SHARED = 2
"""Numbers in all tensors together, per byte of the file."""

OLD_TORCH = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""How files of torch before 1.6 begin."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file's weights by name, floating-point ones as float32; runs no code from it.

    Raises:
        CheckpointError: It cannot be read, is damaged, or holds anything but weights.
    """
    return read_tensors_and_rest(path)[0]


def read_tensors_and_rest(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Read a file's weights as `read_tensors` does, and give what stands beside them.

    Raises:
        CheckpointError: It cannot be read, is damaged, or holds anything but weights.
    """
    content, rest = read_content(path), {}
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content, rest = content[key], content
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{path} holds no weights by name: expected a state dict, or 'model'")
    tensors = {}
    for name, value in content.items():
        if isinstance(value, Draft) and value.array is not None:
            value = torch.from_numpy(value.array)
        if not isinstance(name, str) or not isinstance(value, Tensor):
            told = f"{str(name)[:80]!r} is of type {type(value).__name__}"
            raise CheckpointError(f"{path} holds more than weights by name: {told}")
        tensors[name] = value
    # Names may share their numbers; turned into float32, each would have its own.
    if sum(value.numel() for value in tensors.values()) > MAX_SHARED * path.stat().st_size:
        raise CheckpointError(f"{path} shares its numbers too often: far more than the file holds")
    try:
        return {n: v.float() if v.is_floating_point() else v for n, v in tensors.items()}, rest
    except NotImplementedError as error:  # of numbers that are packed
        raise CheckpointError(f"{path} has numbers of a type that is not known here") from error


def read_content(path: Path) -> object:
    """Read a file by the kind that its first bytes tell; names end in anything."""
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
            if not head:
                raise CheckpointError(f"{path} is empty: download it again")
            if path.suffix == ".safetensors":
                return read_safetensors(path)
            with telling(path):
                if zipfile.is_zipfile(path):
                    return read_torch_zip(path)
                return (read_old_torch if head.startswith(OLD_TORCH) else read_pickle)(stream)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read safetensors; the tensors stay where the file's memory map has them.

    Raises:
        CheckpointError: The file cannot be read, or is damaged.
    """
    try:
        return load_file(path)
    except Exception as error:  # of Rust's own kinds, and of torch's for strange shapes
        told = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{path} is damaged ({told}): download it again") from error
