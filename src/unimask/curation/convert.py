"""Convert a dataset to another format."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from unimask.curation.combine import CombinedDataset
from unimask.curation.writers.create import check_format, create_writer
from unimask.curation.writers.writer import Writer
from unimask.datasets import Dataset, check_classes
from unimask.datasets.folder import DatasetFolder
from unimask.datasets.interface import ALL_IMAGES, DatasetOptions, check_chip_options, open_image
from unimask.datasets.windows import set_volume_window
from unimask.errors import OutputError, SettingsError
from unimask.formats.atomic import atomic_folder
from unimask.formats.outlines import OutlineStyle
from unimask.formats.output_folder import list_foreign_files

Progress = Callable[[str, int, int], None]
"""Function called with the split, the number of images done and their total."""


@dataclass
class ConversionResult:
    """Result of `convert` and `write_predictions`.

    Attributes:
        folder: Folder that was written.
        images: Number of images of each split.
        notes: Notes on information that the format cannot represent.
    """

    folder: Path
    images: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add_losses(self, writer: Writer) -> None:
        """Add notes on what a writer could not represent."""
        self.notes += [f"lost: {count} {what}" for what, count in writer.lost.items() if count]


def convert(
    data: str | Path,
    out: str | Path,
    *,
    to: str,
    things: str | Path | None = None,
    split: str | None = None,
    names: tuple[str, ...] | None = None,
    format: str | None = None,
    masks: str | None = None,
    bands: tuple[int, ...] | None = None,
    chip: int | None = None,
    link: bool = False,
    outlines: OutlineStyle | None = None,
    progress: Progress | None = None,
) -> ConversionResult:
    """Write the images and labels of a dataset in another format, completely or not at all.

    "coco", "yolo", "labelme", "cvat" and "geojson" keep overlapping objects. "coco" and "yolo"
    cannot represent stuff; "labelme" and "cvat" do not distinguish it from things. "yolo" connects
    the parts of an object by bridges (see `YoloWriter`). The other formats store one object per
    pixel, the front one (`Sample.front`): the smaller object unless the dataset orders its objects,
    and things before stuff. "coco-panoptic" and "semantic" keep ignored pixels. Information that is
    lost is counted and reported.

    Args:
        data: Folder of the dataset.
        out: Folder to write, new or empty.
        to: Target format: "coco", "coco-panoptic", "semantic", "instance-ids", "yolo", "labelme",
            "cvat" or "geojson".
        things: Another dataset of the same images, whose objects are put in front of `data`'s
            regions, which makes panoptic labels from semantic maps and instances; None for no
            objects.
        split: Only split to convert; None for all splits.
        names: Class names, for formats that only number the classes.
        format: Label format of `data`, as in `open_dataset`.
        masks: Label maps to read, as in `open_dataset`.
        bands: Bands of scenes, as in `open_dataset`.
        chip: Side of the chips of scenes, as in `open_dataset`.
        link: Whether to link images rather than copy them, which is fast and takes no disk space.
        outlines: Style of polygons: "exact" follows every pixel, "simple" has few vertices and an
            IoU of at least 0.99. By default "simple" for "labelme" and "cvat", where polygons are
            edited, and "exact" for "yolo" and "geojson".
        progress: Function called after each image; see `Progress`.

    Raises:
        DataError: An image or its labels cannot be read, or cannot be represented in the format.
        OutputError: `out` is not empty, overlaps with a dataset's folder, or cannot be written.
        SettingsError: The format is unknown or has no outlines, or images are not files that could
            be linked.

    Example:
        >>> import unimask
        >>> unimask.convert("cells", "cells-coco", to="coco")  # doctest: +SKIP
    """
    check_format(to, outlines)
    target, conversion = Path(out), ConversionResult(Path(out))
    for folder in (data, things):
        check_apart(folder, target)
    options = DatasetOptions(names, format=format, masks=masks, bands=bands, chip=chip)
    source = DatasetFolder(Path(data), options)
    thing_source = None if things is None else DatasetFolder(Path(things))
    splits = (split,) if split is not None else source.split_names()
    with new_folder(target) as folder:
        writer, first, window = None, None, None
        for name in splits:
            dataset: Dataset = source.open(name)
            window = set_volume_window(dataset, window)
            check_chip_options(dataset, bands, chip)
            if thing_source is not None:
                dataset = CombinedDataset(dataset, require_things(thing_source.open(name)))
            first = first or dataset
            check_classes(first, dataset)
            writer = writer or create_writer(to, folder, dataset.labels, outlines)
            split_name = name or ALL_IMAGES
            write_split(writer, dataset, split_name, link, progress)
            conversion.images[split_name] = len(dataset)
        if writer is not None:
            writer.close()
            conversion.add_losses(writer)
    return conversion


def check_apart(data: str | Path | None, out: Path) -> None:
    """Raise if one of two folders is inside the other.

    Raises:
        OutputError: They overlap, so that a later reader would take results for data.
    """
    if data is None or not Path(data).is_dir():
        return
    source, target = Path(data).resolve(), out.resolve()
    if source in target.parents or target in source.parents:
        relation = "inside" if source in target.parents else "around"
        raise OutputError(f"{out} is {relation} the dataset {data}: choose a folder outside it")


def require_things(dataset: Dataset) -> Dataset:
    """Return the dataset after checking that it has thing classes.

    Raises:
        SettingsError: The dataset has no thing classes, so there is nothing to put in front.
    """
    if not dataset.labels.things:
        raise SettingsError(
            f"--things {dataset.name} has no thing classes, only "
            f"{', '.join(dataset.labels.names)}: pass a dataset of objects"
        )
    return dataset


def write_split(
    writer: Writer, dataset: Dataset, split: str, link: bool, progress: Progress | None
) -> None:
    """Write all images of a split with their labels."""
    folder = writer.image_folder(split)
    folder.mkdir(parents=True, exist_ok=True)
    used_names: set[str] = set()
    for index in range(len(dataset)):
        sample = dataset[index]
        file = unused_name(sample.path, used_names)
        writer.add(split, sample, file)
        if link:
            link_image(sample.path, folder / file)
        else:
            with open_image(dataset, index) as image, (folder / file).open("wb") as copy:
                shutil.copyfileobj(image, copy)
        if progress is not None:
            progress(split, index + 1, len(dataset))
    writer.finish(split)


def link_image(path: Path, target: Path) -> None:
    """Create a symbolic link to an image.

    Raises:
        SettingsError: The image is not a file of its own.
    """
    if not path.is_file():
        raise SettingsError(
            f"{path} is no file of its own, so that it cannot be linked: omit --link"
        )
    os.symlink(path.resolve(), target)


def unused_name(path: Path, used_names: set[str]) -> str:
    """Return a unique name for an image, prefixed by folder names if its stem is taken.

    Stems that differ only in case count as equal because some file systems ignore case.
    """
    stem, parents = path.stem, list(path.parts[:-1])
    while stem.casefold() in used_names and parents:
        stem = f"{parents.pop()}_{stem}".replace(os.sep, "")
    prefix, number = stem, 1
    while stem.casefold() in used_names:
        number += 1
        stem = f"{prefix}_{number}"
    used_names.add(stem.casefold())
    return stem + path.suffix


def check_empty(target: Path) -> None:
    """Test that a folder does not exist or is empty.

    Raises:
        OutputError: It is not empty, or is no folder.
    """
    entries = list_foreign_files(target)
    if entries:
        raise OutputError(f"{target} is not empty (it holds {entries[0]}): choose a new folder")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`, which replaces it when the block succeeds.

    Raises:
        OutputError: `target` is not empty, or cannot be written.
    """
    check_empty(target)
    with atomic_folder(target) as temporary:
        yield temporary
