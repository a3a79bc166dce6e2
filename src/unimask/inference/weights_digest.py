"""Digest of a model's weights, by which a run that continues notices another model."""

import hashlib

import torch
from torch import nn

from unimask.runtimes.metadata import weights_path
from unimask.runtimes.network import RuntimeNetwork


def weights_digest(network: nn.Module) -> str:
    """Compute the SHA-256 of a network's weights, or of the files of an exported graph."""
    digest = hashlib.sha256()
    if isinstance(network, RuntimeNetwork):
        for file in (network.path, weights_path(network.path)):
            if file.is_file():
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
