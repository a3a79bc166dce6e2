"""Interface of result files, and matching of results to images and classes of a dataset."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from unimask.datasets import Dataset
from unimask.errors import DataError
from unimask.formats.json_values import Id
from unimask.labels import Task
from unimask.results import Result


class ResultSource(Protocol):
    """Results for a dataset, read image by image."""

    task: Task

    def of(self, index: int, size: tuple[int, int]) -> Result:
        """Return the result for an image of the dataset; empty if there is none.

        Raises:
            DataError: The result for this image is invalid.
        """
        ...

    def notes(self) -> list[str]:
        """Return how many results or images have no counterpart."""
        ...


@runtime_checkable
class Part(Protocol):
    """A dataset that is a subset of another one."""

    dataset: Dataset
    indices: Sequence[int]


@runtime_checkable
class HasCategoryIds(Protocol):
    """A dataset with category ids of its own."""

    category_ids: Mapping[Any, int]


@runtime_checkable
class HasImageIds(Protocol):
    """A dataset with image ids of its own."""

    image_ids: Sequence[Any]


class Directory:
    """Index of a dataset's images, to find the image of a result.

    An image is identified by the dataset's own id; else by its file name or stem; else by the
    number at the end of its file name, as in COCO.

    Args:
        dataset: Dataset with the images.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.names: dict[int | str, int | None] = {}
        ids = image_ids_of(dataset)
        for index, path in enumerate(dataset.paths):
            numbers = () if ids else number_at_end(path.stem)
            for name in {path.name, path.stem, *numbers}:
                # A name that several images share identifies none.
                self.names[name] = None if name in self.names else index
        self.names |= {name: index for index, name in enumerate(ids)}

    def image(self, *names: object) -> int | None:
        """Return the index of the image with one of these names, None if there is none."""
        for name in names:
            if isinstance(name, int | str) and self.names.get(name) is not None:
                return self.names[name]
        return None


def categories_of(dataset: Dataset) -> Mapping[Id, int] | None:
    """Return the label ids of a dataset's own categories; None if it has none."""
    whole = dataset.dataset if isinstance(dataset, Part) else dataset
    return whole.category_ids if isinstance(whole, HasCategoryIds) else None


def image_ids_of(dataset: Dataset) -> Sequence[int | str]:
    """Return the dataset's own ids of its images; empty if it has none."""
    if isinstance(dataset, HasImageIds):
        return dataset.image_ids
    if isinstance(dataset, Part) and isinstance(dataset.dataset, HasImageIds):
        return [dataset.dataset.image_ids[index] for index in dataset.indices]
    return ()


def number_at_end(stem: str) -> list[int]:
    """Return the number at the end of a name, if there is one ("COCO_val2014_000000000042": 42)."""
    digits = stem[len(stem.rstrip("0123456789")) :]
    return [int(digits)] if digits and digits.isascii() else []


def partner_notes(images: int, with_results: int, strangers: int, source: Path) -> list[str]:
    """Return notes on how many images have no result, and how many results no image.

    Raises:
        DataError: No result belongs to an image of the dataset.
    """
    if not with_results and strangers:
        raise DataError(
            f"{source} has no result for any of the {images} images: results are matched by "
            "image_id and by file name; check that they are of these images and this --split"
        )
    notes = []
    if strangers:
        notes.append(f"{strangers} results are of images that are not in the data: left out")
    if with_results < images:
        notes.append(f"{images - with_results} of {images} images have no result: all missed")
    return notes
