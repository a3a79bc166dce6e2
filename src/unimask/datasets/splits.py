"""Parts of a dataset: as its folders name them, else by a rule."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unimask.datasets.found import (
    WHOLE,
    Dataset,
    Found,
    Opener,
    about_of,
    count_things,
    open_picture,
)
from unimask.datasets.packed import Stream
from unimask.datasets.sample import Sample
from unimask.errors import DataError

EVERY = 5
"""Without a split of its own, each fifth picture (by name) of a folder is for validation."""

SPLITS = {
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
"""How folders are called, and which split that is."""


def split_named(name: str) -> str | None:
    """Give the split that a name speaks of ("train2017", "labels_valid"), None for none."""
    words = re.findall("[a-z]+", name.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), None)


class Subset:
    """Some samples of a dataset.

    Args:
        dataset: All of them.
        indices: Those that belong to the subset.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, list(indices)
        self.name, self.labels, self.about = dataset.name, dataset.labels, about_of(dataset)
        self.paths = [dataset.paths[index] for index in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample."""
        return self.dataset[self.indices[index]]

    def count_things(self) -> Int[np.ndarray, " n"] | None:
        """Give the objects of thing classes in each picture; None if only the pictures tell."""
        counts = count_things(self.dataset)
        return None if counts is None else counts[self.indices]

    def open_picture(self, index: int) -> Stream:
        """Open a picture's file, wherever it lies."""
        return open_picture(self.dataset, self.indices[index])


def split_indices(count: int, split: str, folder: Path) -> list[int]:
    """Give the samples of a split that is made by rule.

    Raises:
        DataError: There are too few pictures to set one aside.
    """
    if count < EVERY:
        raise DataError(f"{folder} has {count} pictures, too few to set some aside: add a val/")
    return [i for i in range(count) if (i % EVERY == EVERY - 1) == (split == "val")]


def splits_in(folder: Path, find: Callable[[Path], Found | None]) -> Found | None:
    """Look for one format in each folder that is called like a split."""
    splits: dict[str, Opener] = {}
    format = ""
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        found = find(inner) if inner.name.lower() in SPLITS else None
        if found is not None and WHOLE in found.splits:
            format = found.format
            splits[SPLITS[inner.name.lower()]] = found.splits[WHOLE]
    return Found(format, splits) if splits else None
