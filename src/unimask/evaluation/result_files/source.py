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

    def result(self, index: int, size: tuple[int, int]) -> Result:
        """Return the result for an image of the dataset; empty if there is none.

        Raises:
            DataError: The result for this image is invalid.
        """
        ...

    def notes(self) -> list[str]:
        """Return how many results or images have no counterpart."""
        ...


@runtime_checkable
class SubsetLike(Protocol):
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


class ImageIndex:
    """Index of a dataset's images, to find the image of a result.

    An image is identified by the dataset's own id; else by its file name or stem; else by the
    number at the end of its file name, as in COCO.

    Args:
        dataset: Dataset with the images.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.indices: dict[int | str, int | None] = {}
        ids = dataset_image_ids(dataset)
        for index, path in enumerate(dataset.paths):
            numbers = () if ids else trailing_number(path.stem)
            for name in {path.name, path.stem, *numbers}:
                # A name that several images share identifies none.
                self.indices[name] = None if name in self.indices else index
        self.indices |= {name: index for index, name in enumerate(ids)}

    def find(self, *names: object) -> int | None:
        """Return the index of the image with one of these names, None if there is none."""
        for name in names:
            if isinstance(name, int | str) and self.indices.get(name) is not None:
                return self.indices[name]
        return None


def dataset_categories(dataset: Dataset) -> Mapping[Id, int] | None:
    """Return the label ids of a dataset's own categories; None if it has none."""
    full_dataset = dataset.dataset if isinstance(dataset, SubsetLike) else dataset
    return full_dataset.category_ids if isinstance(full_dataset, HasCategoryIds) else None


def dataset_image_ids(dataset: Dataset) -> Sequence[int | str]:
    """Return the dataset's own ids of its images; empty if it has none."""
    if isinstance(dataset, HasImageIds):
        return dataset.image_ids
    if isinstance(dataset, SubsetLike) and isinstance(dataset.dataset, HasImageIds):
        return [dataset.dataset.image_ids[index] for index in dataset.indices]
    return ()


def trailing_number(stem: str) -> list[int]:
    """Return the number at the end of a name, if there is one ("COCO_val2014_000000000042": 42)."""
    digits = stem[len(stem.rstrip("0123456789")) :]
    return [int(digits)] if digits and digits.isascii() else []


def unmatched_notes(
    num_images: int, num_matched: int, num_unmatched: int, source: Path
) -> list[str]:
    """Return notes on how many images have no result, and how many results no image.

    Raises:
        DataError: No result belongs to an image of the dataset.
    """
    if not num_matched and num_unmatched:
        raise DataError(
            f"{source} has no result for any of the {num_images} images: results are matched by "
            "image_id and by file name; check that they are of these images and this --split"
        )
    notes = []
    if num_unmatched:
        notes.append(f"{num_unmatched} results belong to images that are not in the data: ignored")
    if num_matched < num_images:
        notes.append(
            f"{num_images - num_matched} of {num_images} images have no result: all their objects "
            "count as missed"
        )
    return notes
