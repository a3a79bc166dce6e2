"""Define the interface of datasets, and the description of what was detected in a folder."""

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
from unimask.errors import DataError, SettingsError, UnimaskWarning
from unimask.labels import TASKS, LabelSet, Task


@runtime_checkable
class Dataset(Protocol):
    """Interface of all datasets: samples by index, in the order of `paths`."""

    name: str
    labels: LabelSet

    @property
    def paths(self) -> Sequence[Path]:
        """Path of the image of each sample."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Description of a dataset besides its classes.

    Attributes:
        format: Name of the label format, such as "semantic maps".
        tasks: Tasks that the labels support.
        notes: Notes on how the classes were determined, and on what is ignored or left out.
        ap: Default definition of average precision for instances.
    """

    format: str
    tasks: tuple[Task, ...] = TASKS
    notes: str = ""
    ap: Literal["coco", "cityscapes"] = "coco"


@runtime_checkable
class SupportsInfo(Protocol):
    """Dataset that has a description."""

    info: DatasetInfo


@runtime_checkable
class SupportsOpenImage(Protocol):
    """Dataset that opens its image files itself; its `paths` need not exist on disk."""

    def open_image(self, index: int) -> Stream:
        """Open an image's file, whether it is on disk or in a table cell."""
        ...


@runtime_checkable
class SupportsCountThings(Protocol):
    """Dataset whose labels may state the number of objects without reading images."""

    def count_things(self) -> Int[np.ndarray, " n"] | None:
        """Count the objects of thing classes in each image, without crowds; None if unknown."""
        ...


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """Options by which the user adds to, or overrides, what a folder states.

    Attributes:
        names: Class names, for formats that only number the classes.
        channels: Number of channels of the images, 3 for RGB.
        format: Label format, if only the labels themselves distinguish it; None to detect it.
        masks: Folder or ending of the label maps to read, if images have several; several separated
            by commas are masks of one class each.
        attribute: Attribute of objects that holds their class, if several may; None to choose it by
            its name and values.
        bands: Band of each channel of rasters, counted from 1; None for the usual ones.
        chip: Side in pixels of the chips that scenes are cut into; None for the default.
        slices: Number of neighbouring slices of volumes that are channels: 1, 3 or 5.
    """

    names: tuple[str, ...] | None = None
    channels: int = 3
    format: str | None = None
    masks: str | None = None
    attribute: str | None = None
    bands: tuple[int, ...] | None = None
    chip: int | None = None
    slices: int = 1


def dataset_info(dataset: Dataset) -> DatasetInfo:
    """Return the description of a dataset; without one, all tasks are assumed."""
    return dataset.info if isinstance(dataset, SupportsInfo) else DatasetInfo("labelled images")


def open_image(dataset: Dataset, index: int) -> Stream:
    """Open an image's file, whether it is on disk or in a table cell.

    Raises:
        OSError, DataError: The file cannot be opened.
    """
    if isinstance(dataset, SupportsOpenImage):
        return dataset.open_image(index)
    return open_file(Path(dataset.paths[index]))


def count_things(dataset: Dataset) -> Int[np.ndarray, " n"] | None:
    """Count the objects of thing classes in each image; None if that requires reading images."""
    return dataset.count_things() if isinstance(dataset, SupportsCountThings) else None


@runtime_checkable
class HasLabelFiles(Protocol):
    """Dataset in which each image has label files of its own."""

    def label_files(self, index: int) -> Sequence[Path]:
        """Return the files on disk that label one image alone."""
        ...


def label_files(dataset: Dataset, index: int) -> Sequence[Path]:
    """Return the files on disk that label one image alone; none if one file labels all images."""
    return dataset.label_files(index) if isinstance(dataset, HasLabelFiles) else ()


@runtime_checkable
class HasLabelDigests(Protocol):
    """Dataset that lists the objects of each image, such as from one file for all images."""

    def label_digest(self, index: int) -> str:
        """Compute a digest of one image's labels."""
        ...


def label_digest(dataset: Dataset, index: int) -> str | None:
    """Compute a digest of one image's labels; None if they are only in `label_files`."""
    return dataset.label_digest(index) if isinstance(dataset, HasLabelDigests) else None


@runtime_checkable
class SupportsDivide(Protocol):
    """Dataset of parts of scenes or volumes, which divides these into training and validation."""

    @property
    def can_be_divided(self) -> bool:
        """Whether there are enough scenes or patients to hold some out for validation."""
        ...

    def divide(self) -> Mapping[str, Dataset]:
        """Return the parts "train" and "val"."""
        ...


@runtime_checkable
class HasChips(Protocol):
    """Dataset of chips of scenes, whose pixels the network sees at their own scale."""

    chip_side: int


@runtime_checkable
class HasSlices(Protocol):
    """Dataset of slices of volumes."""

    @property
    def slices(self) -> int:
        """Number of neighbouring slices that are channels."""
        ...

    def image_size(self, index: int) -> tuple[int, int]:
        """Return height and width of an image without reading it."""
        ...


def chip_side(dataset: Dataset) -> int | None:
    """Return the side in pixels of a dataset's chips, None if its samples are no chips."""
    return dataset.chip_side if isinstance(dataset, HasChips) else None


def check_slices_option(dataset: Dataset, slices: int) -> None:
    """Test that neighbouring slices were not requested for images.

    Raises:
        SettingsError: They were.
    """
    if slices != 1 and not isinstance(dataset, HasSlices):
        raise SettingsError(
            f"slices (--slices) applies to volumes, but {dataset.name} is read as "
            f"{dataset_info(dataset).format}: omit it"
        )


def check_chip_options(dataset: Dataset, bands: tuple[int, ...] | None, chip: int | None) -> None:
    """Test that options of scenes were not given for whole images.

    Raises:
        SettingsError: They were.
    """
    if (bands is not None or chip is not None) and chip_side(dataset) is None:
        option = "bands" if bands is not None else "chip"
        raise SettingsError(
            f"{option} (--{option}) applies to scenes of GeoTIFF, but {dataset.name} is read as "
            f"{dataset_info(dataset).format}: omit it, or pass --format geotiff or geotiff-maps"
        )


SplitOpener = Callable[[DatasetOptions], Dataset]

ALL_IMAGES = "all"
"""Name of the only split of a folder without splits."""


class Evidence(IntEnum):
    """Kind of evidence for a format, from the weakest to the strongest."""

    EMPTY = 0
    """Files of the format without labels."""

    NAMES = 1
    """Names of files and folders."""

    CONTENT = 2
    """Content of files that only this format has."""

    LAYOUT = 3
    """Layout of one published dataset."""


@dataclass(frozen=True, slots=True)
class DetectedDataset:
    """Format that a folder may have, by names and the leading bytes of files.

    Attributes:
        format: Name of the format for the user, such as "COCO panoptic".
        splits: Opener of each split: "train", "val", "test", or only `ALL_IMAGES`.
        possible_formats: Other formats that the labels may turn out to have when they are opened.
        evidence: Kind of evidence for the format.
        reason: Description of the evidence, such as "annotations.json lists annotations".
        notes: Notes on what is left out or skipped, one sentence each.
        has_class_names: Whether the files name their classes; `DatasetOptions.names` is then only
            checked.
    """

    format: str
    splits: Mapping[str, SplitOpener]
    possible_formats: tuple[str, ...] = ()
    evidence: Evidence = Evidence.NAMES
    reason: str = ""
    notes: tuple[str, ...] = ()
    has_class_names: bool = False

    def may_have_format(self, format: str) -> bool:
        """Return whether the labels have, or may turn out to have, a format."""
        return format in (self.format, *self.possible_formats)


class UnlabelledError(DataError):
    """Raised if files of a format hold no labels that segmentation can learn from.

    Examples are boxes without outlines, and images without annotations; another format in the same
    folder may hold the labels.
    """


def add_notes(dataset: Dataset, notes: Sequence[str]) -> None:
    """Append notes to a dataset's description."""
    if notes:
        info = dataset_info(dataset)
        text = "; ".join(part for part in (info.notes, *notes) if part)
        dataset.info = replace(info, notes=text)  # type: ignore[attr-defined]


class DataWarning(UnimaskWarning):
    """Warning that a part of a dataset is left out."""


def warn_left_out(message: str) -> None:
    """Warn that a part of a dataset is left out."""
    warnings.warn(message, DataWarning, stacklevel=3)
