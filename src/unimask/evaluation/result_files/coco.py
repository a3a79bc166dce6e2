"""COCO results: one JSON list with an entry for each instance found."""

from collections import defaultdict
from math import isfinite
from pathlib import Path

from unimask.datasets import Dataset
from unimask.errors import DataError
from unimask.evaluation.result_files.source import Directory, partner_notes
from unimask.formats.run_length import RunLength
from unimask.labels import Task
from unimask.results import Result, Segment

ENTRY = '{"image_id", "category_id", "segmentation": {"size", "counts"}, "score"}'


class CocoResults:
    """Instances with scores and masks as run lengths.

    Args:
        path: The file, for messages.
        content: What it holds.
        dataset: The pictures that the results are of.

    Raises:
        DataError: An entry is not what it should be, or none is of a picture of the dataset.
    """

    task: Task = "instance"

    def __init__(self, path: Path, content: list, dataset: Dataset) -> None:
        self.path, self.labels, self.paths = path, dataset.labels, dataset.paths
        self.directory = Directory(dataset, path)
        self.entries: dict[int, list[int]] = defaultdict(list)
        self.content = content
        strangers = 0
        for number, entry in enumerate(content):
            if not isinstance(entry, dict) or "image_id" not in entry:
                raise DataError(f"{path}: entry {number} should be {ENTRY}")
            index = self.directory.picture(entry["image_id"])
            if index is None:
                strangers += 1
            else:
                self.entries[index].append(number)
        self.told = partner_notes(len(dataset), len(self.entries), strangers, path)

    def of(self, index: int, size: tuple[int, int]) -> Result:
        """Give the instances of a picture, in the order of the file."""
        segments = [
            self.segment(number, size, place)
            for place, number in enumerate(self.entries.get(index, []), start=1)
        ]
        return Result(
            task="instance",
            size=size,
            labels=self.labels,
            segments=tuple(segments),
            path=self.paths[index],
        )

    def segment(self, number: int, size: tuple[int, int], place: int) -> Segment:
        """Read one entry."""
        entry = self.content[number]
        try:
            score, outline, category = entry["score"], entry["segmentation"], entry["category_id"]
        except KeyError as error:
            raise DataError(
                f"{self.path}: entry {number} lacks {error}; it should be {ENTRY}"
            ) from None
        if isinstance(score, bool) or not isinstance(score, int | float) or not isfinite(score):
            raise DataError(f"{self.path}: entry {number} has the score {score!r}: give a number")
        if not isinstance(outline, dict):
            raise DataError(
                f"{self.path}: the mask of entry {number} is no run length: write "
                'segmentations as {"size": [h, w], "counts": ...}'
            )
        try:
            rle = RunLength.from_coco(outline)
        except DataError as error:
            raise DataError(f"{self.path}: entry {number}: {error}") from None
        if rle.size != size:
            raise DataError(
                f"{self.path}: the mask of entry {number} is {rle.size[0]} x {rle.size[1]}, but "
                f"{entry['image_id']!r} is {size[0]} x {size[1]}: write masks at the picture's size"
            )
        label = self.directory.label(category)
        return Segment.of(self.labels, label, rle, id=place, score=float(score))

    def notes(self) -> list[str]:
        """Say which results or pictures have no partner."""
        return self.told
