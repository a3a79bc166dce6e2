"""What every kind of result files promises, and which picture and class they speak of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from unimask.datasets import Dataset
from unimask.errors import DataError
from unimask.formats.json_values import Id
from unimask.labels import Task
from unimask.results import Result


class ResultSource(Protocol):
    """Somebody's results for a dataset, read picture by picture."""

    task: Task

    def of(self, index: int, size: tuple[int, int]) -> Result:
        """Give the result for a picture of the dataset; empty where there is none.

        Raises:
            DataError: What the files hold for it cannot be used.
        """
        ...

    def notes(self) -> list[str]:
        """Say which results or pictures have no partner."""
        ...


@runtime_checkable
class Part(Protocol):
    """A dataset that is some pictures of another."""

    dataset: Dataset
    indices: Sequence[int]


@runtime_checkable
class KnowsCategories(Protocol):
    """A dataset whose file numbers its classes in its own way."""

    category_ids: Mapping[Any, int]


@runtime_checkable
class KnowsPictures(Protocol):
    """A dataset whose file numbers its pictures."""

    image_ids: Sequence[Any]


class Directory:
    """Finds the image that a result is of.

    An image is known by the dataset's own id; else by its file's name or stem; else by the number
    that its file's name ends in, as COCO's do.

    Args:
        dataset: The images.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.names: dict[int | str, int | None] = {}
        ids = image_ids_of(dataset)
        for index, path in enumerate(dataset.paths):
            numbers = () if ids else number_at_end(path.stem)
            for name in {path.name, path.stem, *numbers}:
                # A name that two pictures share stands for neither.
                self.names[name] = None if name in self.names else index
        self.names |= {name: index for index, name in enumerate(ids)}

    def picture(self, *names: object) -> int | None:
        """Give the index of the picture that has one of these names, None if there is none."""
        for name in names:
            if isinstance(name, int | str) and self.names.get(name) is not None:
                return self.names[name]
        return None


def categories_of(dataset: Dataset) -> Mapping[Id, int] | None:
    """Return the label ids of a dataset's own categories; None if it has none."""
    whole = dataset.dataset if isinstance(dataset, Part) else dataset
    return whole.category_ids if isinstance(whole, KnowsCategories) else None


def image_ids_of(dataset: Dataset) -> Sequence[int | str]:
    """Give the ids that a dataset's file gives its pictures; none if it has no such file."""
    if isinstance(dataset, KnowsPictures):
        return dataset.image_ids
    if isinstance(dataset, Part) and isinstance(dataset.dataset, KnowsPictures):
        return [dataset.dataset.image_ids[index] for index in dataset.indices]
    return ()


def number_at_end(stem: str) -> list[int]:
    """Give the number that a name ends in, if it does ("COCO_val2014_000000000042": 42)."""
    digits = stem[len(stem.rstrip("0123456789")) :]
    return [int(digits)] if digits and digits.isascii() else []


def partner_notes(pictures: int, with_results: int, strangers: int, source: Path) -> list[str]:
    """Say how many pictures have no results, and how many results no picture.

    Raises:
        DataError: Not one result is of a picture of the data.
    """
    if not with_results and strangers:
        raise DataError(
            f"{source} has no result for any of the {pictures} pictures: results are matched by "
            "image_id and by file name; check that they are of these pictures and this --split"
        )
    notes = []
    if strangers:
        notes.append(f"{strangers} results are of pictures that are not in the data: left out")
    if with_results < pictures:
        notes.append(f"{pictures - with_results} of {pictures} pictures have no result: all missed")
    return notes
