"""A case of a dataset of volumes: its images on one grid, and its labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer

from unimask.datasets.volumes.label_values import describe_values
from unimask.errors import DataError
from unimask.labels import LabelSet
from unimask.volumes.grid import Grid, align, grid_of, on_one_grid
from unimask.volumes.open_volume import open_volume, read_grid
from unimask.volumes.planes import Plane, choose_plane
from unimask.volumes.volume import Volume

IGNORED = -1
"""Label id of voxels without ground truth."""


@runtime_checkable
class CaseLabels(Protocol):
    """Labels of a case."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files of the labels."""
        ...

    def check(self, grid: Grid) -> None:
        """Test by headers that the labels are on the grid of the image.

        Raises:
            DataError, ImageError: They are not, or a file cannot be read.
        """
        ...

    def read(self, grid: Grid) -> Integer[np.ndarray, "i j k"]:
        """Return the label id of each voxel of the image, `IGNORED` for unknown ones.

        Raises:
            DataError, ImageError: A file cannot be read, or holds unknown values.
        """
        ...


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Image of a case, which is one of several if there are several sequences.

    Attributes:
        path: File, or folder of DICOM files.
        series: Series instance UID of DICOM; None for files.
        modality: Modality as the dataset states it, such as "CT"; "" if unknown.
        files: DICOM files of the series; empty for a single file.
    """

    path: Path
    series: str | None = None
    modality: str = ""
    files: tuple[Path, ...] = ()

    def read_grid(self) -> Grid:
        """Read the grid from headers."""
        grid = read_grid(self.path, self.series)
        return replace(grid, modality=self.modality or grid.modality)

    def read(self) -> Volume:
        """Read the values."""
        volume = open_volume(self.path, self.series)
        return replace(volume, modality=self.modality or volume.modality)


@dataclass(frozen=True, eq=False)
class VolumeCase:
    """Images and labels of one case.

    Attributes:
        name: Name of the case, unique in the dataset.
        patient: Name that all cases of a patient share.
        images: Images, all with the voxels of the first.
        labels: Labels.
    """

    name: str
    patient: str
    images: tuple[ImageSource, ...]
    labels: CaseLabels

    @cached_property
    def grid(self) -> Grid:
        """Grid of the first image."""
        return self.images[0].read_grid()

    @cached_property
    def plane(self) -> Plane:
        """Plane of slicing, which `predict_volume` chooses too."""
        return choose_plane(self.grid.affine, "auto")

    @property
    def num_slices(self) -> int:
        """Number of slices."""
        return self.grid.shape[self.plane.axis]

    @property
    def slice_size(self) -> tuple[int, int]:
        """Height and width of the slices in pixels."""
        _, rows, columns = self.plane.order
        return self.grid.shape[rows], self.grid.shape[columns]

    @property
    def files(self) -> list[Path]:
        """Files of images and labels."""
        images = [path for image in self.images for path in image.files or (image.path,)]
        return [*images, *self.labels.paths]

    def check(self) -> None:
        """Test by headers that all files can be read and are on one grid.

        Raises:
            DataError, ImageError: They are not.
        """
        for image in self.images[1:]:
            align(image.read_grid(), self.grid)
        self.labels.check(self.grid)

    def read_images(self) -> list[Volume]:
        """Read all images on the grid of the first.

        Raises:
            ImageError, DataError: A file cannot be read, or is on another grid.
        """
        return on_one_grid([image.read() for image in self.images])


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Labels in one file, in which values stand for classes.

    Attributes:
        path: File.
        values: Label id of each value, or `IGNORED`.
        labels: Label set.
        source: What names the values, such as "dataset.json", for messages.
    """

    path: Path
    values: dict[int, int]
    labels: LabelSet
    source: str

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files of the labels."""
        return (self.path,)

    def check(self, grid: Grid) -> None:
        """Test by headers that the labels are on the grid of the image.

        Raises:
            DataError, ImageError: They are not, or the file cannot be read.
        """
        align(read_grid(self.path), grid)

    def read(self, grid: Grid) -> Integer[np.ndarray, "i j k"]:
        """Return the label id of each voxel of the image.

        Raises:
            DataError, ImageError: The file cannot be read, or holds unknown values.
        """
        volume = open_volume(self.path)
        codes = whole_values(volume)
        unknown = [value for value in find_values(codes) if value not in self.values]
        if unknown:
            raise DataError(
                f"{self.path} holds {describe_values(unknown)}, which {self.source} does not name "
                f"(it names {describe_values(sorted(self.values))}): add the label, or correct the "
                "file"
            )
        table = np.zeros(max(self.values) + 1, label_dtype(len(self.labels)))
        for value, label_id in self.values.items():
            table[value] = label_id
        return align(grid_of(volume), grid).apply(table[codes], grid.shape)


def label_dtype(count: int) -> type[np.signedinteger]:
    """Return the smallest dtype for the label ids of some classes."""
    return np.int8 if count < 2**7 else np.int16


def whole_values(volume: Volume) -> Integer[np.ndarray, "i j k"]:
    """Return the values of a label map as integers.

    Raises:
        DataError: They are fractions, negative, or no labels.
    """
    values = volume.values
    if values.dtype.kind == "f":
        rounded = np.rint(values)
        if not np.array_equal(rounded, values):
            raise DataError(
                f"{volume.name} holds fractions, no labels: write the label of each voxel as an "
                "integer (thresholded, or resampled by nearest neighbour)"
            )
        values = rounded
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if low < 0 or high > MAX_VALUE:
        raise DataError(
            f"{volume.name} holds values from {low:g} to {high:g}: labels are integers from 0 to "
            f"{MAX_VALUE}"
        )
    return values.astype(np.uint16) if values.dtype != np.uint8 else values


MAX_VALUE = 65535
"""Largest value of labels."""


def find_values(codes: Integer[np.ndarray, "i j k"]) -> list[int]:
    """Return the values that occur in a label map, sorted."""
    counts = np.zeros(MAX_VALUE + 1, np.int64)
    for part in codes:
        counts += np.bincount(part.ravel(), minlength=MAX_VALUE + 1)
    return np.flatnonzero(counts).tolist()


def check_cases(cases: Sequence[VolumeCase]) -> None:
    """Test by headers that the files of all cases can be read and fit.

    Raises:
        DataError, ImageError: Those of a case do not.
    """
    for case in cases:
        case.check()
