"""Pictures that cannot be read in the middle of a run: skipped and counted, if that is asked."""

from dataclasses import dataclass, field

from unimask.datasets import Dataset
from unimask.datasets.splits import Subset
from unimask.errors import DataError, ImageError
from unimask.evaluation.evaluate import Progress

UNREADABLE = (DataError, ImageError)
"""What a picture fails with, or its labels: missing, cut short, or not what they should be."""

AT_MOST = 100
"""Unreadable pictures one after the other, after which it is the data that are missing."""


@dataclass
class Unreadable:
    """The pictures that a run went without.

    Attributes:
        times: How often one was skipped.
        told: Why, once for each.
    """

    times: int = 0
    told: list[str] = field(default_factory=list)

    def note(self, reasons: tuple[str, ...]) -> None:
        """Count skipped pictures."""
        self.times += len(reasons)
        self.told += [reason for reason in dict.fromkeys(reasons) if reason not in self.told]


def readable(dataset: Dataset, progress: Progress) -> tuple[Dataset, list[str]]:
    """Read a dataset from end to end; give what can be read of it, and why the rest cannot.

    Args:
        dataset: Labelled pictures.
        progress: Told after each.

    Raises:
        DataError: Nothing can.
    """
    kept, reasons = [], []
    for index in range(len(dataset)):
        try:
            dataset[index]
            kept.append(index)
        except UNREADABLE as error:
            reasons.append(str(error))
        progress(index + 1, len(dataset))
    if not kept:
        raise DataError(f"none of {len(dataset)} pictures can be read: {reasons[0]}")
    return Subset(dataset, kept), reasons
