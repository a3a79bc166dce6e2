"""Folders of maps, one per image: label ids, or ids of objects of one class."""

from pathlib import Path

import numpy as np

from unimask.datasets import Dataset
from unimask.errors import DataError
from unimask.evaluation.result_files.panoptic import read_map
from unimask.evaluation.result_files.source import ImageIndex, unmatched_notes
from unimask.formats.run_length import encode_id_map
from unimask.labels import IGNORE_LABEL, Task
from unimask.results import Result, Segment

SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
NAME_SUFFIXES = ("_ids", "_labelIds", "_labelTrainIds", "_pred", "_mask")
"""Suffixes that programs append to the names of images."""


class MapResults:
    """Maps of label ids (semantic), or of object ids from 1 on (instance, for a single class).

    A map has the name of its image, or that followed by one of `NAME_SUFFIXES`. In maps of label
    ids, the largest number of 8 or 16 bits means unlabelled.

    Args:
        folder: Folder with maps, which may be in subfolders.
        dataset: Dataset whose images the results belong to.
        task: Task of the maps, "semantic" or "instance".

    Raises:
        DataError: No map belongs to an image of the dataset, or objects could be of several
            classes.
    """

    def __init__(self, folder: Path, dataset: Dataset, task: Task) -> None:
        self.task: Task = task
        self.labels, self.paths = dataset.labels, dataset.paths
        if task == "instance" and len(self.labels.things) != 1:
            raise DataError(
                f"{folder} holds maps of object ids without classes, but the data has "
                f"{len(self.labels.things)} thing classes: write COCO results instead"
            )
        images = ImageIndex(dataset)
        self.files: dict[int, Path] = {}
        num_unmatched = 0
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            image_stem = next(
                (path.stem.removesuffix(e) for e in NAME_SUFFIXES if path.stem.endswith(e)), ""
            )
            index = images.find(path.stem, image_stem)
            if index is None:
                num_unmatched += 1
            elif index in self.files:
                raise DataError(
                    f"{self.files[index]} and {path} are both results for {self.paths[index].name}:"
                    " keep one"
                )
            else:
                self.files[index] = path
        self.match_notes = unmatched_notes(len(dataset), len(self.files), num_unmatched, folder)

    def result(self, index: int, size: tuple[int, int]) -> Result:
        """Return the segments of an image."""
        segments: list[Segment] = []
        if index in self.files:
            numbers = self.read_numbers(self.files[index], size)
            for number, rle in encode_id_map(numbers).items():
                label = number - 1 if self.task == "semantic" else self.labels.things[0]
                score = None if self.task == "semantic" else 1.0
                segments.append(Segment.from_rle(self.labels, label, rle, id=number, score=score))
        return Result(
            task=self.task,
            size=size,
            labels=self.labels,
            segments=tuple(segments),
            path=self.paths[index],
        )

    def read_numbers(self, path: Path, size: tuple[int, int]) -> np.ndarray:
        """Read a map as object ids, or as label ids + 1; 0 is background."""
        values = read_map(path, size)
        if values.ndim != 2 or values.dtype.kind not in "uib":
            raise DataError(f"{path} is not a map: it must hold one integer per pixel, not colours")
        if self.task == "instance":
            return values.astype(np.int64)
        ignore_label = 65535 if values.dtype.itemsize > 1 else IGNORE_LABEL
        numbers = np.where(values == ignore_label, -1, values.astype(np.int64)) + 1
        if numbers.max(initial=0) > len(self.labels):
            raise DataError(
                f"{path} holds label id {int(numbers.max()) - 1}, but the data has "
                f"{len(self.labels)} classes, numbered from 0: renumber the maps"
            )
        return numbers

    def notes(self) -> list[str]:
        """Return how many results or images have no counterpart."""
        return self.match_notes
