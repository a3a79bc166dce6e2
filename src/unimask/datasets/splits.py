"""Divide a dataset into splits, by the names of its folders or by a rule."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unimask.config import Window
from unimask.datasets.image_files import is_ignored
from unimask.datasets.interface import (
    ALL_IMAGES,
    Dataset,
    DetectedDataset,
    SplitOpener,
    SupportsDivide,
    count_things,
    dataset_info,
    label_digest,
    label_files,
    open_image,
)
from unimask.datasets.packed import Stream
from unimask.datasets.sample import Sample
from unimask.datasets.windows import set_window

VALIDATION_INTERVAL = 5
"""Interval of the validation images among all images, sorted by name, without splits or groups."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "trainset": "train",
    "trainingset": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "valset": "val",
    "validationset": "val",
    "test": "test",
    "testing": "test",
    "testset": "test",
}
"""Split of each lower-case folder name."""


def split_from_name(name: str) -> str | None:
    """Return the split that a name contains ("train2017", "labels_valid"); None for none."""
    words = re.findall("[a-z]+", name.lower())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


class Subset:
    """Subset of the samples of a dataset.

    Args:
        dataset: Whole dataset.
        indices: Indices of the samples in the subset.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, list(indices)
        self.name, self.labels, self.info = dataset.name, dataset.labels, dataset_info(dataset)
        self.paths = [dataset.paths[index] for index in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample."""
        return self.dataset[self.indices[index]]

    @property
    def window(self) -> Window:
        """Range of values that is mapped to black and white; see `set_window`."""
        return self.dataset.window  # type: ignore[attr-defined]

    @window.setter
    def window(self, window: Window) -> None:
        set_window(self.dataset, window)

    def count_things(self) -> Int[np.ndarray, " n"] | None:
        """Count objects of thing classes in each image; None if that requires reading images."""
        counts = count_things(self.dataset)
        return None if counts is None else counts[self.indices]

    def label_files(self, index: int) -> Sequence[Path]:
        """Return the files on disk that label one image alone."""
        return label_files(self.dataset, self.indices[index])

    def label_digest(self, index: int) -> str | None:
        """Compute a digest of one image's labels; None if they are only in `label_files`."""
        return label_digest(self.dataset, self.indices[index])

    def open_image(self, index: int) -> Stream:
        """Open an image's file, whether it is on disk or in a table cell."""
        return open_image(self.dataset, self.indices[index])


def can_be_divided(dataset: Dataset) -> bool:
    """Return whether there are enough images, or scenes, to set some aside for validation."""
    if isinstance(dataset, SupportsDivide):
        return dataset.can_be_divided
    return len(dataset) >= VALIDATION_INTERVAL


def find_splits(
    folder: Path, find: Callable[[Path], DetectedDataset | None], *, any_name: bool = False
) -> DetectedDataset | None:
    """Detect one format in each inner folder that is named like a split.

    Args:
        folder: Folder of the dataset.
        find: Finder that detects the format in one folder.
        any_name: Whether to accept folders of all other names too, each as a split of its name.
    """
    splits: dict[str, SplitOpener] = {}
    first: DetectedDataset | None = None
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        split = SPLIT_NAMES.get(inner.name.lower(), inner.name if any_name else None)
        if split is None or is_ignored(inner.name):
            continue
        detected = find(inner)
        if detected is not None and ALL_IMAGES in detected.splits:
            first = first or detected
            splits[inner.name if split in splits else split] = detected.splits[ALL_IMAGES]
    return None if first is None else replace(first, splits=splits)
