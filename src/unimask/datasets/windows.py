"""Set the range of values mapped to black and white in deep images, for training and prediction."""

import warnings
from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

from unimask.config import Window
from unimask.datasets.interface import Dataset
from unimask.datasets.volumes.intensities import IntensityRule
from unimask.errors import DataError, SettingsError, UnimaskError
from unimask.processing.value_ranges import (
    ImageWarning,
    RangeWarning,
    collect_range_warnings,
    format_range_warnings,
    group_range_warnings,
)

SAMPLED_IMAGES = 8
"""Number of images that are read before training to check that they do not become black."""


@runtime_checkable
class SupportsWindow(Protocol):
    """Dataset that maps a range of values to black and white when it reads images."""

    window: Window


AnyDataset = TypeVar("AnyDataset", bound=Dataset)


def set_window(dataset: AnyDataset, window: Window) -> AnyDataset:
    """Set the range of values with which a dataset reads its images.

    Raises:
        SettingsError: The dataset reads its images in a way of its own.
    """
    if window is not None:
        if not isinstance(dataset, SupportsWindow):
            raise SettingsError(f"{dataset.name} reads its images itself: it takes no window")
        dataset.window = window
    return dataset


@runtime_checkable
class SupportsIntensities(Protocol):
    """Dataset of volumes, whose values have no range of their own."""

    def measure_intensities(self) -> IntensityRule:
        """Return the window that suits the modality."""
        ...


def set_volume_window(dataset: Dataset, window: Window) -> Window:
    """Set the range of values with which slices of volumes are read, measured if it is None.

    Returns:
        The window; None for other datasets, which are left as they are.

    Raises:
        DataError, ImageError: A case cannot be read.
    """
    if not isinstance(dataset, SupportsIntensities):
        return None
    window = window or dataset.measure_intensities().window
    set_window(dataset, window)
    return window


def check_value_ranges(dataset: Dataset) -> list[RangeWarning]:
    """Read a few images and return warnings on images that lose most of their range of values.

    Raises:
        DataError: All of them become black.
    """
    count = min(SAMPLED_IMAGES, len(dataset))
    num_read = 0
    with collect_range_warnings() as range_warnings:
        for number in range(count):
            try:
                dataset[number * len(dataset) // count]
            except UnimaskError:
                continue  # training reports unreadable images
            num_read += 1
    black = [warning for warning in range_warnings if warning.kind == "black"]
    if black and len({warning.name for warning in black}) == num_read:
        raise DataError(format_range_warnings(black))
    return range_warnings


def warn_about_ranges(range_warnings: Sequence[RangeWarning]) -> None:
    """Show collected warnings in one line per kind."""
    for group in group_range_warnings(range_warnings):
        warnings.warn(format_range_warnings(group), ImageWarning, stacklevel=2)
