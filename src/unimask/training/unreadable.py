"""Unreadable images of a dataset, which a run may skip."""

from unimask.datasets import Dataset
from unimask.datasets.splits import Subset
from unimask.errors import DataError, ImageError
from unimask.evaluation.evaluate import Progress

UNREADABLE = (DataError, ImageError)
"""Errors of unreadable images or labels."""

MAX_UNREADABLE_IN_A_ROW = 100
"""Number of unreadable images in a row above which the dataset is considered missing."""


def select_readable(dataset: Dataset, progress: Progress) -> tuple[Dataset, list[str]]:
    """Return the readable part of a dataset, and the errors of the other images.

    Args:
        dataset: Labelled images, all of which are read.
        progress: Callback after each image.

    Raises:
        DataError: No image can be read.
    """
    indices, reasons = [], []
    for index in range(len(dataset)):
        try:
            dataset[index]
            indices.append(index)
        except UNREADABLE as error:
            reasons.append(str(error))
        progress(index + 1, len(dataset))
    if not indices:
        raise DataError(f"none of {len(dataset)} images can be read: {reasons[0]}")
    return Subset(dataset, indices), reasons
