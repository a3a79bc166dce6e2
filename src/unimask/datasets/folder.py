"""Which dataset lies in a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from unimask.datasets.coco_panoptic import CocoPanoptic
from unimask.datasets.instance_folder import InstanceFolder
from unimask.datasets.sample import Sample
from unimask.errors import DataError
from unimask.labels import LabelSet


@runtime_checkable
class Dataset(Protocol):
    """What every dataset promises: samples by index, in the order of `paths`."""

    name: str
    labels: LabelSet

    @property
    def paths(self) -> Sequence[Path]:
        """One picture file per sample."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class Subset:
    """Some samples of a dataset.

    Args:
        dataset: All of them.
        indices: Those that belong to the subset.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, list(indices)
        self.name, self.labels = dataset.name, dataset.labels
        self.paths = [dataset.paths[index] for index in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample."""
        return self.dataset[self.indices[index]]


EVERY = 5
"""Without a split of its own, each fifth picture (by name) of a folder is for validation."""


def open_dataset(
    path: str | Path,
    split: str | None = None,
    *,
    names: tuple[str, str] | None = None,
    channels: int = 3,
) -> Dataset:
    """Open the dataset in a folder, or one split of it.

    Recognised are `images/` + `masks/` with instance ids, and COCO panoptic (`panoptic.json` +
    `panoptic/` + `images/`, or `annotations/panoptic_SPLIT.json` with its folders). A split is
    the folder of that name if there is one; otherwise every fifth picture by name is "val" and
    the others are "train". None is all pictures.

    Args:
        path: The folder.
        split: "train", "val", the name of a folder, or None.
        names: For instance ids: names of the objects and of the background.
        channels: Of the pictures, 3 for RGB.

    Raises:
        DataError: There is nothing that can be recognised; the message lists what is looked for.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the folder that holds the dataset")
    coco = folder / "annotations" / f"panoptic_{split}.json"
    if split is not None and coco.is_file():
        return CocoPanoptic(coco, coco.with_suffix(""), images_of(folder, split), channels)
    if split is not None and (folder / split).is_dir():
        return open_one(folder / split, names, channels)
    if split is None and not (folder / "images").is_dir() and (folder / "train").is_dir():
        return open_one(folder / "train", names, channels)
    dataset = open_one(folder, names, channels)
    if split is None:
        return dataset
    return Subset(dataset, split_indices(len(dataset), split, folder))


def split_indices(count: int, split: str, folder: Path) -> list[int]:
    """Give the samples of a split that is made by rule."""
    validation = [index for index in range(count) if index % EVERY == EVERY - 1]
    if split == "val":
        if not validation:
            raise DataError(f"{folder} has {count} pictures, too few to set some aside: add a val/")
        return validation
    if split == "train":
        return [index for index in range(count) if index % EVERY != EVERY - 1]
    raise DataError(f"{folder} has no split {split!r}: use train or val, or add a folder {split}/")


def open_one(folder: Path, names: tuple[str, str] | None, channels: int) -> Dataset:
    """Open a folder that is one set of pictures."""
    if (folder / "panoptic.json").is_file():
        images = folder / "images"
        return CocoPanoptic(folder / "panoptic.json", folder / "panoptic", images, channels)
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        return InstanceFolder(folder, names, channels)
    raise DataError(
        f"{folder} holds no dataset that is known here: expected images/ + masks/ (instance ids), "
        "or panoptic.json + panoptic/ + images/ (COCO panoptic)"
    )


def images_of(folder: Path, split: str) -> Path:
    """Find COCO's folder of pictures for a split."""
    for candidate in (folder / split, folder / "images" / split, folder / "images"):
        if candidate.is_dir():
            return candidate
    raise DataError(f"{folder} has no pictures for {split}: expected {folder / split}/")
