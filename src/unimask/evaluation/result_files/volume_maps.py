"""Label maps of volumes, as `unimask volume` and nnU-Net write them, as results of cases."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from unimask.datasets.volumes.case import LabelMap, VolumeCase
from unimask.datasets.volumes.dataset import VolumeDataset
from unimask.errors import DataError, TaskError
from unimask.evaluation.result_files.source import unmatched_notes
from unimask.formats.run_length import encode_id_map
from unimask.labels import Task
from unimask.results import Result, Segment

SUFFIXES = (".nii.gz", ".nii", ".nrrd")
"""Endings of label maps."""

CLASSES = "_classes"
"""End of the names of the label maps that `unimask volume` writes."""


class VolumeMapResults:
    """Label maps of the cases of a dataset of volumes.

    A map belongs to the case of its name, or to that of the image of its name, with or without
    "_classes". Values are those of the dataset; the JSON file that `unimask volume` writes beside a
    map names others.

    Args:
        folder: Folder of the maps.
        dataset: Dataset with the ground truth.
        task: Requested task; None for any.

    Raises:
        DataError: No map belongs to a case.
        TaskError: Another task than semantic is requested.
    """

    def __init__(self, folder: Path, dataset: VolumeDataset, task: Task | None) -> None:
        if task not in (None, "semantic"):
            raise TaskError(f"{folder} holds label maps, which are semantic, not {task}")
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder: pass that of the label maps of the cases")
        self.dataset = dataset
        self.task: Task = "semantic"
        found = list_maps(folder)
        self.files = {
            index: found.pop(name)
            for index, case in enumerate(dataset.cases)
            for name in possible_names(case)
            if name in found
        }
        cases = len(dataset.cases)
        self.match_notes = unmatched_notes(cases, len(self.files), len(found), folder)
        self.read_case = lru_cache(maxsize=1)(self.read)

    def result(self, index: int, size: tuple[int, int]) -> Result:
        """Return the segments of a slice; none if its case has no map."""
        case, position = self.dataset.samples[index]
        labels, segments = self.dataset.labels, []
        if case in self.files:
            numbers = self.read_case(case)[position].astype(np.int64) + 1
            segments = [
                Segment.from_rle(labels, number - 1, rle, id=number, score=None)
                for number, rle in encode_id_map(numbers).items()
            ]
        path = self.dataset.paths[index]
        return Result(
            task="semantic", size=size, labels=labels, segments=tuple(segments), path=path
        )

    def read(self, index: int) -> Integer[np.ndarray, "n h w"]:
        """Read the label ids of the slices of a case."""
        case, path, labels = self.dataset.cases[index], self.files[index], self.dataset.labels
        values, source = read_values(path)
        if values is None:
            ids = {labels.category_id(label): label for label in range(len(labels))}
        else:
            names = {name: label for label, name in enumerate(labels.names)}
            unknown = [name for name in values if name not in names]
            if unknown:
                raise DataError(f"{source} names {unknown[0]!r}, which the data lacks: rename it")
            ids = {0: 0} | {value: names[name] for name, value in values.items()}
        found = LabelMap(path, ids, labels, source).read(case.grid)
        return np.ascontiguousarray(case.plane.view(found))

    def notes(self) -> list[str]:
        """Return how many maps or cases have no counterpart."""
        return self.match_notes


def list_maps(folder: Path) -> dict[str, Path]:
    """Return the volumes of a folder by their names without endings."""
    found = {}
    for path in sorted(folder.iterdir()):
        ending = next((each for each in SUFFIXES if path.name.lower().endswith(each)), None)
        if ending is not None and not path.name.startswith(".") and "_objects." not in path.name:
            found[path.name[: -len(ending)]] = path
    return found


def possible_names(case: VolumeCase) -> list[str]:
    """Return the names that the label map of a case may have."""
    image = case.images[0].path.name
    ending = next((each for each in SUFFIXES if image.lower().endswith(each)), "")
    stems = dict.fromkeys((case.name, image[: len(image) - len(ending)]))
    return [name for stem in stems for name in (stem, stem + CLASSES)]


def read_values(path: Path) -> tuple[dict[str, int] | None, str]:
    """Return the values of classes in a map of `unimask volume`, and the file that names them."""
    stem = path.name.partition(f"{CLASSES}.")[0]
    file = path.with_name(f"{stem}.json")
    if CLASSES not in path.name or not file.is_file():
        return None, "the data"
    try:
        values = json.loads(file.read_text("utf-8"))["values"]
        return {str(name): int(value) for name, value in values.items()}, file.name
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} names no values of classes ({error}): write it again") from error
