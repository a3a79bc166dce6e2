"""COCO results: a JSON list with one entry per predicted instance."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unimask.datasets import Dataset
from unimask.errors import DataError
from unimask.evaluation.result_files.numbering import (
    LOOKED_AT,
    Finding,
    choose_numbering,
    true_label,
)
from unimask.evaluation.result_files.records import InstanceEntry
from unimask.evaluation.result_files.source import Directory, partner_notes
from unimask.formats.json_values import JsonValueError, abbreviate, convert_record
from unimask.formats.run_length import RunLength
from unimask.labels import Task
from unimask.results import Result, Segment

ENTRY = '{"image_id", "category_id", "segmentation": {"size", "counts"}, "score"}'


class CocoResults:
    """Instances with scores and masks as run lengths; masks may be empty.

    Args:
        path: JSON file, for messages.
        content: Content of the JSON file.
        dataset: Dataset whose images the results belong to.
        categories: Numbering of categories, "data" or "labels"; None to detect it.

    Raises:
        DataError: An entry is invalid, or none belongs to an image of the dataset.
    """

    task: Task = "instance"

    def __init__(
        self, path: Path, content: Sequence[Any], dataset: Dataset, categories: str | None = None
    ) -> None:
        self.path, self.labels, self.paths = path, dataset.labels, dataset.paths
        directory = Directory(dataset)
        self.entries: dict[int, list[tuple[int, InstanceEntry]]] = defaultdict(list)
        strangers = 0
        for number, item in enumerate(content):
            entry = self.read(number, item)
            index = directory.image(entry.image_id)
            if index is None:
                strangers += 1
            else:
                self.entries[index].append((number, entry))
        self.told = partner_notes(len(dataset), len(self.entries), strangers, path)
        used = {entry.category_id for group in self.entries.values() for _, entry in group}
        self.numbering = choose_numbering(
            dataset, used, path, categories, lambda: self.findings(dataset)
        )

    def read(self, number: int, item: Any) -> InstanceEntry:
        """Parse one entry.

        Raises:
            DataError: The entry is invalid.
        """
        try:
            return convert_record(item, InstanceEntry)
        except JsonValueError as error:
            raise DataError(f"{self.path}: entry {number}: {error}; it should be {ENTRY}") from None

    def findings(self, dataset: Dataset) -> Iterator[Finding]:
        """Yield the category of each result that matches a true object, and its label id."""
        for index in sorted(self.entries)[:LOOKED_AT]:
            sample = dataset[index]
            for number, entry in self.entries[index]:
                label = true_label(self.mask(number, entry), sample)
                if label is not None:
                    yield entry.category_id, label

    def of(self, index: int, size: tuple[int, int]) -> Result:
        """Return the instances of an image, in the order of the file."""
        segments = [
            self.segment(number, entry, size, place)
            for place, (number, entry) in enumerate(self.entries.get(index, []), start=1)
        ]
        return Result(
            task="instance",
            size=size,
            labels=self.labels,
            segments=tuple(segments),
            path=self.paths[index],
        )

    def segment(
        self, number: int, entry: InstanceEntry, size: tuple[int, int], place: int
    ) -> Segment:
        """Convert one entry to a segment."""
        rle = self.mask(number, entry)
        if rle.size != size:
            raise DataError(
                f"{self.path}: the mask of entry {number} is {rle.size[0]} x {rle.size[1]}, but "
                f"{abbreviate(entry.image_id)} is {size[0]} x {size[1]}: write masks at the size "
                "of the image"
            )
        label = self.numbering.label(entry.category_id)
        return Segment.of(self.labels, label, rle, id=place, score=float(entry.score or 0))

    def mask(self, number: int, entry: InstanceEntry) -> RunLength:
        """Parse the mask of an entry.

        Raises:
            DataError: It is not a valid run-length encoding.
        """
        if not isinstance(entry.segmentation, dict):
            raise DataError(
                f"{self.path}: the mask of entry {number} is no run length: write "
                'segmentations as {"size": [h, w], "counts": ...}'
            )
        try:
            return RunLength.from_coco(entry.segmentation)
        except DataError as error:
            raise DataError(f"{self.path}: entry {number}: {error}") from None

    def notes(self) -> list[str]:
        """Return notes on results or images without counterpart, and on category ids."""
        return [*self.told, *filter(None, [self.numbering.note])]
