"""DICOM files of a folder, grouped by series."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimask.errors import ImageError, printable
from unimask.processing.dicom_file import (
    MARK,
    MARK_START,
    SEGMENTATION_CLASSES,
    count_frames,
    is_dicom,
    is_header_without_preamble,
    number,
    read_dataset,
    text,
)

MAX_LISTED = 6
"""Number of series that a message lists."""

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
"""SOP class of DICOMDIR, which lists the files of a medium."""


@dataclass(frozen=True, eq=False)
class DicomHeader:
    """Header of a DICOM file with images.

    Attributes:
        path: Path of the file.
        dataset: Data set without pixel data.
    """

    path: Path
    dataset: Any

    @property
    def series(self) -> str:
        """Series instance UID, "" if it is missing."""
        return text(self.dataset, "SeriesInstanceUID")


def read_headers(path: Path) -> list[DicomHeader]:
    """Read the headers of a file, or of all files with images below a folder.

    Raises:
        ImageError: There are none, or one is damaged.
    """
    if path.is_file():
        return [read_header(path)]
    headers = [read_header(each) for each in list_dicom(path)]
    images = [header for header in headers if holds_image(header.dataset)]
    if not images:
        found = f"{len(headers)} DICOM files without images" if headers else "no DICOM files"
        raise ImageError(f"{path} holds {found}: choose the folder of a series")
    return images


def read_header(path: Path) -> DicomHeader:
    """Read the header of a file.

    Raises:
        ImageError: It is damaged.
    """
    return DicomHeader(path, read_dataset(path, str(path), pixels=False))


def list_dicom(folder: Path) -> Iterator[Path]:
    """Yield the visible DICOM files below a folder in sorted order."""
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file() and starts_like_dicom(path):
                yield path


def starts_like_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its first bytes, or by its suffix.

    Raises:
        ImageError: It cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            header = stream.read(MARK_START + len(MARK))
    except OSError as error:
        reason = error.strerror or error
        raise ImageError(f"{path} cannot be opened ({reason}): check its permissions") from error
    if is_dicom(header, path.name):
        return True
    return is_header_without_preamble(header) and not path.suffix


def holds_image(dataset: Any) -> bool:
    """Return whether a file holds an image, and no labels, report or directory."""
    kind = text(dataset, "SOPClassUID")
    if kind in SEGMENTATION_CLASSES or kind == DIRECTORY_CLASS:
        return False
    return number(dataset, "Rows", 0) > 0 and number(dataset, "Columns", 0) > 0


def choose_series(
    headers: Sequence[DicomHeader], choice: str | int | None, name: str
) -> list[DicomHeader]:
    """Return the files of the chosen series, or of the only one.

    Args:
        headers: Headers of all files.
        choice: Number from 1 in the order of series numbers, or start of a series instance UID.
        name: Name of the folder in messages.

    Raises:
        ImageError: There are several series and none is chosen, or no or several fit.
    """
    groups: defaultdict[str, list[DicomHeader]] = defaultdict(list)
    for header in headers:
        groups[header.series].append(header)
    order = sorted(groups, key=lambda uid: (number(groups[uid][0].dataset, "SeriesNumber", 0), uid))
    if choice is None:
        if len(order) == 1:
            return groups[order[0]]
        raise ImageError(
            f"{name} holds {len(order)} series: choose one by its number, series= (--series): "
            f"{list_series([groups[uid] for uid in order])}"
        )
    digits = isinstance(choice, str) and choice.isascii() and choice.isdecimal()
    place = int(choice) if digits or isinstance(choice, int) else 0
    if 1 <= place <= len(order):
        return groups[order[place - 1]]
    if choice in groups:
        return groups[str(choice)]
    fits = [uid for uid in order if isinstance(choice, str) and "." in choice]
    fits = [uid for uid in fits if uid.startswith(str(choice))]
    if len(fits) != 1:
        raise ImageError(
            f"{name}: {len(fits) or 'no'} series fit {choice!r}: choose one of "
            f"{list_series([groups[uid] for uid in order])}"
        )
    return groups[fits[0]]


def list_series(groups: Sequence[Sequence[DicomHeader]]) -> str:
    """Return the numbers, modalities, descriptions and sizes of series as one line."""
    parts = []
    for place, group in enumerate(groups[:MAX_LISTED], start=1):
        first = group[0].dataset
        words = [text(first, "Modality"), text(first, "SeriesDescription")]
        about = " ".join(printable(word) for word in words if word) or "no description"
        frames = sum(count_frames(header.dataset) for header in group)
        parts.append(f"{place}: {about}, {frames} {'image' if frames == 1 else 'images'}")
    more = len(groups) - MAX_LISTED
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def check_equal(headers: Sequence[DicomHeader], keywords: Sequence[str], name: str) -> None:
    """Test that all files agree in some elements.

    Raises:
        ImageError: They do not; the message names a file that differs from most.
    """
    for keyword in keywords:
        values = [text(header.dataset, keyword) for header in headers]
        (most, _), *others = Counter(values).most_common()
        if others:
            odd = next(h for h, value in zip(headers, values, strict=True) if value != most)
            value = text(odd.dataset, keyword)
            raise ImageError(
                f"{name} is no regular volume: {keyword} is {value!r} in {odd.path.name} and "
                f"{most!r} in most files; move the files that differ away"
            )
