"""A dataset written in another format."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from unimask.curation.combine import Combined
from unimask.curation.writers.coco import CocoWriter
from unimask.curation.writers.coco_panoptic import CocoPanopticWriter
from unimask.curation.writers.instance_ids import InstanceIdWriter
from unimask.curation.writers.semantic import SemanticWriter
from unimask.curation.writers.writer import Writer
from unimask.curation.writers.yolo import YoloWriter
from unimask.datasets import Dataset, check_classes
from unimask.datasets.folder import DatasetFolder
from unimask.datasets.found import WHOLE, Wish, open_picture
from unimask.errors import OutputError, SettingsError
from unimask.formats.atomic import atomic_folder
from unimask.formats.output_folder import foreign_entries
from unimask.labels import LabelSet

FORMATS: dict[str, Callable[[Path, LabelSet], Writer]] = {
    "coco-panoptic": CocoPanopticWriter,
    "coco": CocoWriter,
    "semantic": SemanticWriter,
    "instance-ids": InstanceIdWriter,
    "yolo": YoloWriter,
}

Progress = Callable[[str, int, int], None]
"""Called with the split, the pictures done and the pictures in all."""


@dataclass
class Written:
    """What `convert` wrote.

    Attributes:
        folder: Where.
        pictures: How many, by split.
        told: What the format had no place for, in words.
    """

    folder: Path
    pictures: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


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
    link: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Write a dataset in another format, pictures and labels, whole or not at all.

    "coco" and "yolo" keep objects that overlap; they have no place for stuff, and "yolo" bridges
    what parts an object (`YoloWriter`). The others have one object per pixel, the one in front
    (`Sample.front`): the smaller one unless a dataset orders its objects, and things before stuff.
    "coco-panoptic" and "semantic" keep unknown pixels. What is lost is counted and told.

    Args:
        data: Folder of the dataset.
        out: Folder to write, new or empty.
        to: "coco-panoptic", "coco", "semantic", "instance-ids" or "yolo".
        things: Another dataset of the same pictures, whose objects are put over `data`'s regions:
            panoptic truth out of semantic maps and instances.
        split: Only this one; None for all.
        names: Names of the classes, for formats that only number them.
        format: Of `data`'s labels, as `open_dataset` takes it.
        masks: Label maps to read, as `open_dataset` takes them.
        link: Link pictures in place of copying them: quick, and takes no room.
        progress: Told after each picture.

    Raises:
        DataError: A picture or its labels cannot be read, or do not fit the format.
        OutputError: `out` holds something, or cannot be written.
        SettingsError: The format is unknown, or pictures are no files that could be linked.
    """
    if to not in FORMATS:
        raise SettingsError(f"cannot convert to {to!r}: give one of {', '.join(FORMATS)}")
    target, written = Path(out), Written(Path(out))
    source = DatasetFolder(Path(data), Wish(names, format=format, masks=masks))
    above = None if things is None else DatasetFolder(Path(things))
    splits = (split,) if split is not None else source.split_names()
    with whole_folder(target) as folder:
        writer, first = None, None
        for name in splits:
            dataset: Dataset = source.open(name)
            if above is not None:
                dataset = Combined(dataset, with_things(above.open(name)))
            first = first or dataset
            check_classes(first, dataset)
            writer = writer or FORMATS[to](folder, dataset.labels)
            part = name or WHOLE
            write_split(writer, dataset, part, link, progress)
            written.pictures[part] = len(dataset)
        if writer is not None:
            written.told = [f"lost: {count} {what}" for what, count in writer.lost.items() if count]
    return written


def with_things(dataset: Dataset) -> Dataset:
    """Return a dataset that has thing classes.

    Raises:
        SettingsError: It has none, so that nothing of it could be put over other labels.
    """
    if not dataset.labels.things:
        raise SettingsError(
            f"--things {dataset.name} has no thing classes, only "
            f"{', '.join(dataset.labels.names)}: give a dataset of objects"
        )
    return dataset


def write_split(
    writer: Writer, dataset: Dataset, split: str, link: bool, progress: Progress | None
) -> None:
    """Write all pictures of a split."""
    folder = writer.pictures(split)
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for index in range(len(dataset)):
        sample = dataset[index]
        file = unused_name(sample.path, taken)
        writer.add(split, sample, file)
        if link:
            link_picture(sample.path, folder / file)
        else:
            with open_picture(dataset, index) as picture, (folder / file).open("wb") as copy:
                shutil.copyfileobj(picture, copy)
        if progress is not None:
            progress(split, index + 1, len(dataset))
    writer.finish(split)


def link_picture(path: Path, target: Path) -> None:
    """Link a picture.

    Raises:
        SettingsError: It is no file of its own.
    """
    if not path.is_file():
        raise SettingsError(f"{path} lies in a table and cannot be linked: leave out --link")
    os.symlink(path.resolve(), target)


def unused_name(path: Path, taken: set[str]) -> str:
    """Return an image's name, with its folders' names before it where others have the same stem.

    Stems that differ in case only count as the same: some file systems do not tell them apart.
    """
    stem, parents = path.stem, list(path.parts[:-1])
    while stem.casefold() in taken and parents:
        stem = f"{parents.pop()}_{stem}".replace(os.sep, "")
    longest, number = stem, 1
    while stem.casefold() in taken:
        number += 1
        stem = f"{longest}_{number}"
    taken.add(stem.casefold())
    return stem + path.suffix


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`, moved into its place when the block succeeds.

    Raises:
        OutputError: `target` holds something, or cannot be written.
    """
    found = foreign_entries(target)
    if found:
        raise OutputError(f"{target} is not empty (it holds {found[0]}): give a new folder")
    with atomic_folder(target) as temporary:
        yield temporary
