"""Detect images and label maps in folders of any name, and decide what the maps mean."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from unimask.datasets.interface import (
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    add_notes,
)
from unimask.datasets.maps import channels, instance_ids, semantic
from unimask.datasets.maps.class_table import ClassTable, find_tables, folders_above, names_things
from unimask.datasets.maps.classes import Classes, classes_of, renamed
from unimask.datasets.maps.dataset import MapDataset
from unimask.datasets.maps.interpretation import interpret_maps
from unimask.datasets.maps.map_selection import select_map_sets
from unimask.datasets.maps.mask_set import MapFile, first_file
from unimask.datasets.maps.partners import Layout, Pairs, find_layout
from unimask.datasets.maps.sampled_maps import are_label_maps, sample_statistics
from unimask.datasets.maps.scanned_values import sample_informative_maps
from unimask.datasets.maps.value_description import in_words
from unimask.errors import DataError
from unimask.labels import LabelSet

MEANINGS = {
    "index": "a value per class",
    "ids": "a value per class",
    "colour": "a colour per class",
    "binary": "a class and its background",
}
"""Description of each kind of maps for the user."""

KINDS = (instance_ids.FORMAT, channels.FORMAT)
"""Formats besides semantic maps that the user may select for such folders."""


def find_image_pairs(folder: Path) -> DetectedDataset | None:
    """Detect label maps that share the names of images, in folders of any name."""
    layout = find_layout(folder, are_label_maps)
    if not layout.matches:
        return None
    splits = layout.pair_by_split(lambda match: match.map_sets[0].files)
    openers = {split: partial(open_layout, folder, layout, split) for split in splits}
    return DetectedDataset(semantic.FORMAT, openers, KINDS)


def open_layout(folder: Path, layout: Layout, split: str, options: DatasetOptions) -> Dataset:
    """Open one split; the maps of all splits together decide what values mean.

    Raises:
        DataError: A map cannot be read, images have several maps, or a table does not fit.
    """
    resolution = select_map_sets(layout, options.masks, options.format)
    splits = layout.pair_by_split(resolution.select_maps)
    files = [file for each in splits.values() for file in each.maps]
    if split not in splits or not splits[split].maps:
        raise DataError(f"{folder} has no maps called {', '.join(resolution.names)} in {split}")
    places = folders_above([first_file(file) for file in files], folder)
    naming = [*reversed(places), folder.parent]
    if resolution.classes:
        dataset = class_masks(splits[split], folder, resolution.classes, options)
    elif resolution.masks_are_objects:
        dataset = instance_ids.instance_ids(splits[split], folder, naming, options)
    else:
        find = partial(find_tables, places)
        dataset = open_maps(splits[split], files, folder, naming, find, options)
    add_notes(dataset, [*layout.notes, *resolution.notes])
    return dataset


def class_masks(
    pairs: Pairs, folder: Path, names: Sequence[str], options: DatasetOptions
) -> MapDataset:
    """Build a dataset of images with one mask per class; classes count from 1, 0 is background.

    Raises:
        DataError: The number of names given by the user differs from that of the classes.
    """
    labels = LabelSet(("background", *names), (False,) * (len(names) + 1))
    notes = "0 in all masks is background"
    classes = Classes(labels, {i: i for i in range(len(labels))}, False, notes)
    if options.names is not None:
        user_names = (
            options.names if len(options.names) == len(labels) else ("background", *options.names)
        )
        classes = renamed(classes, user_names)
    info = DatasetInfo(
        f"{semantic.FORMAT} (a mask per class)", ("semantic",), notes + pairs.missing_maps_note
    )
    return semantic.semantic_maps(pairs, folder, classes.labels, classes.read, info, options)


def open_maps(
    pairs: Pairs,
    files: Sequence[MapFile],
    folder: Path,
    naming: Sequence[Path],
    find: Callable[[], list[ClassTable]],
    options: DatasetOptions,
) -> MapDataset:
    """Build the dataset for images and maps, whatever the maps' values mean.

    Args:
        pairs: Images and their maps.
        files: Maps of all splits, which together decide what values mean.
        folder: Folder of the dataset.
        naming: Folders that may hold a `labels.json` naming a thing and a stuff.
        find: Function that returns the class tables, the most likely first.
        options: Options given by the user.

    Raises:
        DataError: A map cannot be read, or a class table does not fit.
    """
    if options.format == instance_ids.FORMAT:
        return instance_ids.instance_ids(pairs, folder, naming, options)
    tables = find()
    if options.format == channels.FORMAT:
        return channels.channel_maps(pairs, files, folder, tables, options)
    thinged = options.format is None and any(names_things(p / "labels.json") for p in naming)
    named = bool(tables) or thinged or options.names is not None
    seen = sample_statistics(files) if named else sample_informative_maps(files)
    reading = interpret_maps(
        seen,
        classes=len(tables[0].rows) if tables else 0,
        has_thing_names=thinged,
        is_semantic=options.format == semantic.FORMAT,
    )
    if reading.kind == "ids":
        return instance_ids.instance_ids(pairs, folder, naming, options, reading.evidence)
    painted = any(table.coloured for table in tables)
    unpainted = reading.kind == "colour" and not painted and options.format is None
    if unpainted and channels.are_channels(seen):
        return channels.channel_maps(pairs, files, folder, tables, options)
    classes = classes_of(reading, seen, files, tables, options.names)
    notes = classes.told + in_words(classes, seen) + pairs.missing_maps_note
    info = DatasetInfo(f"{semantic.FORMAT} ({MEANINGS[reading.kind]})", ("semantic",), notes)
    return semantic.semantic_maps(pairs, folder, classes.labels, classes.read, info, options)
