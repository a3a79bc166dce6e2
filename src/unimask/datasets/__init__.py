"""Folders on disk to samples."""

from unimask.datasets.folder import Dataset, open_dataset
from unimask.datasets.sample import Sample

__all__ = ["Dataset", "Sample", "open_dataset"]
