"""Files of tensors, whoever wrote them: pickles of numpy arrays, torch's own, safetensors."""

import pickle
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from unimask.checkpoints.pickled import Draft, read_pickle
from unimask.errors import CheckpointError

WRAPPERS = ("model", "state_dict")
"""Keys under which the authors (and most others) keep the weights, beside what training needs."""

OLD_TORCH = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""How files of torch before 1.6 begin."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file's weights by name, floating-point ones as float32; runs no code from it.

    Raises:
        CheckpointError: It cannot be read, is damaged, or holds anything but weights.
    """
    content = read_content(path)
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{path} holds no weights by name: expected a state dict, or 'model'")
    tensors = {}
    for name, value in content.items():
        if isinstance(value, Draft) and value.array is not None:
            value = torch.from_numpy(value.array)
        if not isinstance(name, str) or not isinstance(value, Tensor):
            told = f"{str(name)[:80]!r} is of type {type(value).__name__}"
            raise CheckpointError(f"{path} holds more than weights by name: {told}")
        tensors[name] = value.float() if value.is_floating_point() else value
    return tensors


def read_content(path: Path) -> object:
    """Read a file by the kind that its first bytes tell; names end in anything."""
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
            if not head:
                raise CheckpointError(f"{path} is empty: download it again")
            if path.suffix == ".safetensors":
                return load_file(path)
            if zipfile.is_zipfile(path) or head.startswith(OLD_TORCH):
                return read_torch(path)
            stream.seek(0)
            return read_pickle(stream, path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged ({error}): download it again") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error


def read_torch(path: Path) -> object:
    """Read what `torch.save` wrote, as weights only."""
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        found = str(error).partition("Unsupported global: GLOBAL ")[2].split(" ")[0]
        asked = f"asks for {found}" if found else "holds objects"
        raise CheckpointError(
            f"{path} {asked}, which weights do not need and which could do harm: nothing of it was "
            "run; save its state dict alone, where you trust it"
        ) from None
    except Exception as error:  # torch raises many kinds for a damaged file
        told = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{path} is damaged ({told}): download it again") from error
