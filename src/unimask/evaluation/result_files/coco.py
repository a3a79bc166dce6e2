"""COCO results: a JSON list with one entry per predicted instance."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unimask.datasets import Dataset
from unimask.errors import DataError
from unimask.evaluation.result_files.numbering import (
    MAX_COMPARED_IMAGES,
    CategoryMatch,
    choose_numbering,
    matched_label,
)
from unimask.evaluation.result_files.records import InstanceEntry
from unimask.evaluation.result_files.source import ImageIndex, unmatched_notes
from unimask.formats.json_values import JsonValueError, abbreviate, convert_record
from unimask.formats.run_length import RunLength
from unimask.labels import Task
from unimask.results import Result, Segment

ENTRY_FORM = '{"image_id", "category_id", "segmentation": {"size", "counts"}, "score"}'


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
        images = ImageIndex(dataset)
        self.entries: dict[int, list[tuple[int, InstanceEntry]]] = defaultdict(list)
        num_unmatched = 0
        for number, item in enumerate(content):
            entry = self.read_entry(number, item)
            index = images.find(entry.image_id)
            if index is None:
                num_unmatched += 1
            else:
                self.entries[index].append((number, entry))
        self.match_notes = unmatched_notes(len(dataset), len(self.entries), num_unmatched, path)
        categories_in_use = {
            entry.category_id for group in self.entries.values() for _, entry in group
        }
        self.numbering = choose_numbering(
            dataset, categories_in_use, path, categories, lambda: self.match_categories(dataset)
        )

    def read_entry(self, number: int, item: Any) -> InstanceEntry:
        """Parse one entry.

        Raises:
            DataError: The entry is invalid.
        """
        try:
            return convert_record(item, InstanceEntry)
        except JsonValueError as error:
            raise DataError(
                f"{self.path}: entry {number}: {error}; it should be {ENTRY_FORM}"
            ) from None

    def match_categories(self, dataset: Dataset) -> Iterator[CategoryMatch]:
        """Yield the category of each result that matches a true object, and its label id."""
        for index in sorted(self.entries)[:MAX_COMPARED_IMAGES]:
            sample = dataset[index]
            for number, entry in self.entries[index]:
                label = matched_label(self.read_mask(number, entry), sample)
                if label is not None:
                    yield entry.category_id, label

    def result(self, index: int, size: tuple[int, int]) -> Result:
        """Return the instances of an image, in the order of the file."""
        segments = [
            self.to_segment(number, entry, size, place)
            for place, (number, entry) in enumerate(self.entries.get(index, []), start=1)
        ]
        return Result(
            task="instance",
            size=size,
            labels=self.labels,
            segments=tuple(segments),
            path=self.paths[index],
        )

    def to_segment(
        self, number: int, entry: InstanceEntry, size: tuple[int, int], segment_id: int
    ) -> Segment:
        """Convert one entry to a segment."""
        rle = self.read_mask(number, entry)
        if rle.size != size:
            raise DataError(
                f"{self.path}: the mask of entry {number} is {rle.size[0]} x {rle.size[1]}, but "
                f"{abbreviate(entry.image_id)} is {size[0]} x {size[1]}: write masks at the size "
                "of the image"
            )
        label = self.numbering.label_id(entry.category_id)
        return Segment.from_rle(
            self.labels, label, rle, id=segment_id, score=float(entry.score or 0)
        )

    def read_mask(self, number: int, entry: InstanceEntry) -> RunLength:
        """Parse the mask of an entry.

        Raises:
            DataError: It is not a valid run-length encoding.
        """
        if not isinstance(entry.segmentation, dict):
            raise DataError(
                f"{self.path}: the mask of entry {number} is not a run-length encoding: write "
                'segmentations as {"size": [h, w], "counts": ...}'
            )
        try:
            return RunLength.from_coco(entry.segmentation)
        except DataError as error:
            raise DataError(f"{self.path}: entry {number}: {error}") from None

    def notes(self) -> list[str]:
        """Return notes on results or images without counterpart, and on category ids."""
        return [*self.match_notes, *filter(None, [self.numbering.note])]
