"""Other people's files to and from our state dict."""

from unimask.checkpoints.authors import read_authors
from unimask.checkpoints.checkpoint import Checkpoint
from unimask.checkpoints.huggingface import read_huggingface, write_huggingface
from unimask.checkpoints.imagenet import read_backbone

__all__ = [
    "Checkpoint",
    "read_authors",
    "read_backbone",
    "read_huggingface",
    "write_huggingface",
]
