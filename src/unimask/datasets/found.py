"""What a look at a folder tells: the format of its labels, and how to open each of its splits."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from unimask.datasets.packed import Stream, open_file
from unimask.datasets.sample import Sample
from unimask.errors import DataError, UnimaskWarning
from unimask.labels import TASKS, LabelSet, Task


@runtime_checkable
class Dataset(Protocol):
    """What every dataset promises: samples by index, in the order of `paths`."""

    name: str
    labels: LabelSet

    @property
    def paths(self) -> Sequence[Path]:
        """One picture file per sample."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True, slots=True)
class About:
    """What a person should know of a dataset beside its classes.

    Attributes:
        format: What its labels are called, "semantic maps".
        tasks: What can be learned from them.
        told: How classes were found, and what is ignored or left out.
        ap: Whose average precision its instances are scored by, unless somebody asks otherwise.
    """

    format: str
    tasks: tuple[Task, ...] = TASKS
    told: str = ""
    ap: Literal["coco", "cityscapes"] = "coco"


@runtime_checkable
class Described(Protocol):
    """A dataset that says what it is."""

    about: About


@runtime_checkable
class Opens(Protocol):
    """A dataset that opens its pictures' files itself: `paths` may be no more than names."""

    def open_picture(self, index: int) -> Stream:
        """Open a picture's file, wherever it lies."""
        ...


@runtime_checkable
class Counted(Protocol):
    """A dataset whose labels may tell how many objects there are, without a look at pictures."""

    def count_things(self) -> Int[np.ndarray, " n"] | None:
        """Give the objects of thing classes in each picture, crowds left out; None if unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person says of the data, because the folder does not, or says it otherwise.

    Attributes:
        names: Names of the classes, for formats that only number them.
        channels: Of the pictures, 3 for RGB.
        format: One of the formats that only a look at the labels tells apart.
        masks: Folder or ending of the maps to read, where images have several; several between
            commas are masks of one class each.
    """

    names: tuple[str, ...] | None = None
    channels: int = 3
    format: str | None = None
    masks: str | None = None


def about_of(dataset: Dataset) -> About:
    """Give what a dataset says of itself; all tasks where it says nothing."""
    return dataset.about if isinstance(dataset, Described) else About("labelled pictures")


def open_picture(dataset: Dataset, index: int) -> Stream:
    """Open the file of a picture, wherever it lies.

    Raises:
        OSError, DataError: It cannot be opened.
    """
    if isinstance(dataset, Opens):
        return dataset.open_picture(index)
    return open_file(Path(dataset.paths[index]))


def count_things(dataset: Dataset) -> Int[np.ndarray, " n"] | None:
    """Give the objects of thing classes in each picture; None if only the pictures tell."""
    return dataset.count_things() if isinstance(dataset, Counted) else None


Opener = Callable[[Wish], Dataset]

WHOLE = "all"
"""The split of a folder that has none."""


class Evidence(IntEnum):
    """What a finder's answer rests on, the weakest first."""

    EMPTY = 0
    """Files of the format that hold no labels."""

    NAMES = 1
    """Names of files and folders."""

    CONTENT = 2
    """Content of files that only this format has."""

    LAYOUT = 3
    """The layout of one published dataset."""


@dataclass(frozen=True, slots=True)
class Found:
    """A format that a folder may have, by names and by the beginnings of files.

    Attributes:
        format: What a person calls it, "COCO panoptic".
        splits: Name to what opens it: "train", "val", "test", or only `WHOLE`.
        kinds: What else its labels may be, as their files tell when they are opened.
        evidence: What the answer rests on.
        because: The evidence in words, such as "annotations.json lists annotations".
        notes: What is left out or passed over, one sentence each.
        names_classes: Its files name their classes, so that nobody else can (`Wish.names`).
    """

    format: str
    splits: Mapping[str, Opener]
    kinds: tuple[str, ...] = ()
    evidence: Evidence = Evidence.NAMES
    because: str = ""
    notes: tuple[str, ...] = ()
    names_classes: bool = False

    def is_called(self, format: str) -> bool:
        """Return whether the labels are, or may turn out to be, of a format."""
        return format in (self.format, *self.kinds)


class UnlabelledError(DataError):
    """Files are of a format, but hold nothing that segmentation can learn from.

    Boxes without outlines, or images without annotations: another format in the same folder may
    hold the labels.
    """


def add_notes(dataset: Dataset, notes: Sequence[str]) -> None:
    """Add sentences to what a dataset says of itself."""
    if notes:
        about = about_of(dataset)
        told = "; ".join(part for part in (about.told, *notes) if part)
        dataset.about = replace(about, told=told)  # type: ignore[attr-defined]


class DataWarning(UnimaskWarning):
    """Something in a dataset is left out."""


def tell(message: str) -> None:
    """Warn that something is left out."""
    warnings.warn(message, DataWarning, stacklevel=3)
