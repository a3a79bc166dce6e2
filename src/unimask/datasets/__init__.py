"""Folders on disk to samples."""

from unimask.datasets.folder import open_dataset, recognise, split_names
from unimask.datasets.found import Dataset
from unimask.datasets.sample import Sample

__all__ = ["Dataset", "Sample", "open_dataset", "recognise", "split_names"]
