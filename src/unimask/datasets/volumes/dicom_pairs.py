"""DICOM series with their labels as DICOM SEG, in folders of any names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from unimask.datasets.image_files import is_file, walk_folders
from unimask.datasets.interface import (
    ALL_IMAGES,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.volumes.case import ImageSource, VolumeCase, check_cases, label_dtype
from unimask.datasets.volumes.dataset import VolumeDataset, choose_layout, describe_cases
from unimask.datasets.volumes.label_values import labels_from_values
from unimask.datasets.volumes.pairing import named_split
from unimask.errors import DataError, ImageError
from unimask.labels import LabelSet, is_background
from unimask.processing.dicom_file import (
    DICOM_SUFFIXES,
    SEGMENTATION_CLASSES,
    element,
    number,
    text,
)
from unimask.volumes.dicom_folder import DicomHeader, holds_image, read_header, starts_like_dicom
from unimask.volumes.dicom_seg import read_dicom_seg
from unimask.volumes.grid import Grid, align

FORMAT = "DICOM SEG"


@dataclass(frozen=True, eq=False)
class SegLabels:
    """Labels in one or several files of DICOM SEG.

    Attributes:
        paths: Files.
        labels: Label set, whose names are those of the segments.
    """

    paths: tuple[Path, ...]
    labels: LabelSet

    def check(self, grid: Grid) -> None:
        """Do nothing: the voxels of a DICOM SEG are compared when they are read."""

    def read(self, grid: Grid) -> Integer[np.ndarray, "i j k"]:
        """Return the label id of each voxel of the image.

        Raises:
            DataError: Segments of two files overlap, or are on another grid than the image.
            ImageError: A file cannot be read.
        """
        found = np.zeros(grid.shape, label_dtype(len(self.labels)))
        ids = {name: label_id for label_id, name in enumerate(self.labels.names)}
        for path in self.paths:
            seg = read_dicom_seg(path)
            table = np.zeros(max(seg.names, default=0) + 1, found.dtype)
            for value, name in seg.names.items():
                table[value] = 0 if is_background(name) else ids[name.strip()]
            own = Grid(str(path), shape_of(seg.values), seg.affine)
            placed = align(own, grid, may_be_smaller=True).apply(table[seg.values], grid.shape)
            if ((found > 0) & (placed > 0) & (found != placed)).any():
                names = " and ".join(each.name for each in self.paths)
                raise DataError(
                    f"{path} has segments that overlap those of another file ({names}): one voxel "
                    "has one label, so move one file away"
                )
            found = np.where(placed > 0, placed, found)
        return found


def shape_of(values: Integer[np.ndarray, "i j k"]) -> tuple[int, int, int]:
    """Return the shape of an array."""
    i, j, k = values.shape
    return i, j, k


@dataclass(frozen=True, eq=False)
class Series:
    """Image series with the files of DICOM SEG that refer to it.

    Attributes:
        headers: Headers of its files.
        segs: Headers of the files of DICOM SEG.
    """

    headers: Sequence[DicomHeader]
    segs: Sequence[DicomHeader]


class DicomDataset:
    """Folder of DICOM files.

    Args:
        folder: The folder.
        files: Its DICOM files.
    """

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self.folder, self.files = folder, files
        self.errors: list[ImageError] = []

    @cached_property
    def headers(self) -> list[DicomHeader]:
        """Headers of all files that can be read; the errors of the others are added to `errors`."""
        headers = []
        for path in self.files:
            try:
                headers.append(read_header(path))
            except ImageError as error:
                self.errors.append(error)
        return headers

    @cached_property
    def segs(self) -> list[DicomHeader]:
        """Headers of the files of DICOM SEG."""
        return [h for h in self.headers if text(h.dataset, "SOPClassUID") in SEGMENTATION_CLASSES]

    @cached_property
    def series(self) -> list[Series]:
        """Series to which a DICOM SEG refers.

        Raises:
            DataError: The series of a DICOM SEG is missing.
        """
        images: dict[str, list[DicomHeader]] = {}
        for header in self.headers:
            if holds_image(header.dataset):
                images.setdefault(header.series, []).append(header)
        segs: dict[str, list[DicomHeader]] = {}
        for seg in self.segs:
            segs.setdefault(referenced_series(seg, images), []).append(seg)
        return [Series(images[uid], found) for uid, found in segs.items()]

    def split(self, series: Series) -> str:
        """Return the split of a series by its folders."""
        return named_split(series.headers[0].path.relative_to(self.folder).parts[:-1])

    def open(self, split: str, options: DatasetOptions) -> VolumeDataset:
        """Open the slices of a split.

        Raises:
            DataError, ImageError: A file is missing, damaged, or no regular volume.
            MissingExtraError: A package of the extra `medical` is not installed.
            SettingsError: The number of channels does not fit.
        """
        if self.errors:
            raise self.errors[0]
        name = self.folder.absolute().name
        layout = choose_layout(name, 1, options.slices, options.channels)
        found = sorted({each for series in self.series for each in segment_names(series)})
        labels, _ = labels_from_values(dict(enumerate(found, start=1)), self.segs[0].path.name)
        chosen = [each for each in self.series if split == ALL_IMAGES or self.split(each) == split]
        cases = [self.case(each, labels) for each in chosen]
        check_cases(cases)
        notes = f"named by the segments of DICOM SEG; {describe_cases(cases)}"
        info = DatasetInfo(FORMAT, tasks=("semantic",), notes=notes)
        return VolumeDataset(name, labels, cases, info, layout)

    def case(self, series: Series, labels: LabelSet) -> VolumeCase:
        """Return the case of a series."""
        first = series.headers[0]
        files = tuple(header.path for header in series.headers)
        parts = first.path.relative_to(self.folder).parts[:-1]
        others = {h.series for h in self.headers if h.path.parent == first.path.parent}
        number_in_folder = f"series{int(number(first.dataset, 'SeriesNumber', 0))}"
        is_alone = len({each for each in others if each}) <= 2 and bool(parts)
        name = "_".join((*parts, *(() if is_alone else (number_in_folder,))))
        place = files[0] if len(files) == 1 else first.path.parent
        uid = None if len(files) == 1 else first.series
        patient = text(first.dataset, "PatientID") or name
        source = ImageSource(place, uid, files=files)
        paths = tuple(seg.path for seg in series.segs)
        return VolumeCase(name, patient, (source,), SegLabels(paths, labels))


def find_dicom_volumes(folder: Path) -> DetectedDataset | None:
    """Detect folders of DICOM series with files of DICOM SEG."""
    files = list(list_dicom_files(folder))
    if not files:
        return None
    dataset = DicomDataset(folder, files)
    if not dataset.segs:
        return None
    splits = dict.fromkeys(map(dataset.split, dataset.series))
    if len(splits) > 1:
        splits.pop(ALL_IMAGES, None)
    return DetectedDataset(
        FORMAT,
        {split: partial(dataset.open, split) for split in splits},
        evidence=Evidence.CONTENT,
        reason=f"{dataset.segs[0].path.name} is a DICOM SEG",
        has_class_names=True,
    )


def list_dicom_files(folder: Path) -> Iterator[Path]:
    """Yield the DICOM files in a folder and below it, with their suffixes or without any."""
    for place, names in walk_folders(folder):
        for name in names:
            path = place / name
            suffix = path.suffix.lower()
            if is_file(path) and (suffix in DICOM_SUFFIXES or is_plain_dicom(path)):
                yield path


def is_plain_dicom(path: Path) -> bool:
    """Return whether a file is DICOM whose suffix is empty, part of a UID, or "seg"."""
    suffix = path.suffix.lower()
    if suffix not in ("", ".seg") and not suffix[1:].isdecimal():
        return False
    try:
        return starts_like_dicom(path)
    except ImageError:  # it cannot be opened
        return False


def segment_names(series: Series) -> list[str]:
    """Return the names of the segments of a series, without the background."""
    names = [
        text(segment, "SegmentLabel").strip()
        for seg in series.segs
        for segment in element(seg.dataset, "SegmentSequence") or ()
    ]
    return [name for name in names if not is_background(name)]


def referenced_series(seg: DicomHeader, images: dict[str, list[DicomHeader]]) -> str:
    """Return the series to which a DICOM SEG refers.

    Raises:
        DataError: It refers to none that is here.
    """
    referenced: Sequence[Any] = element(seg.dataset, "ReferencedSeriesSequence") or ()
    uids = [text(item, "SeriesInstanceUID") for item in referenced]
    found = next((uid for uid in uids if uid in images), None)
    if found is None:
        raise DataError(
            f"{seg.path} refers to images that are not in the folder (series "
            f"{uids[0] if uids else 'unknown'}): add them, or move the file away"
        )
    return found
