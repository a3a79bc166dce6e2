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
from unimask.datasets.maps.class_table import (
    ClassTable,
    find_tables,
    has_thing_names,
    list_map_folders,
)
from unimask.datasets.maps.classes import Classes, determine_classes, rename_classes
from unimask.datasets.maps.dataset import MapDataset
from unimask.datasets.maps.interpretation import interpret_maps
from unimask.datasets.maps.map_selection import select_map_sets
from unimask.datasets.maps.mask_set import MapFile, first_file
from unimask.datasets.maps.partners import Layout, Pairs, find_layout
from unimask.datasets.maps.sampled_maps import are_label_maps, sample_statistics
from unimask.datasets.maps.scanned_values import sample_informative_maps
from unimask.datasets.maps.value_description import describe_values
from unimask.errors import DataError
from unimask.labels import LabelSet

KIND_DESCRIPTIONS = {
    "index": "a value per class",
    "ids": "a value per class",
    "colour": "a colour per class",
    "binary": "a class and its background",
}
"""Description of each kind of maps for the user."""

OTHER_MAP_FORMATS = (instance_ids.FORMAT, channels.FORMAT)
"""Formats besides semantic maps that the user may select for such folders."""


def find_image_pairs(folder: Path) -> DetectedDataset | None:
    """Detect label maps that share the names of images, in folders of any name."""
    layout = find_layout(folder, are_label_maps)
    if not layout.matches:
        return None
    splits = layout.pair_by_split(lambda match: match.map_sets[0].files)
    openers = {split: partial(open_layout, folder, layout, split) for split in splits}
    return DetectedDataset(semantic.FORMAT, openers, OTHER_MAP_FORMATS)


def open_layout(folder: Path, layout: Layout, split: str, options: DatasetOptions) -> Dataset:
    """Open one split; the maps of all splits together decide what values mean.

    Raises:
        DataError: A map cannot be read, images have several maps, or a table does not fit.
    """
    selection = select_map_sets(layout, options.masks, options.format)
    splits = layout.pair_by_split(selection.select_maps)
    files = [file for each in splits.values() for file in each.maps]
    if split not in splits or not splits[split].maps:
        raise DataError(f"{folder} has no maps called {', '.join(selection.names)} in {split}")
    map_folders = list_map_folders([first_file(file) for file in files], folder)
    name_folders = [*reversed(map_folders), folder.parent]
    if selection.classes:
        dataset = open_class_masks(splits[split], folder, selection.classes, options)
    elif selection.masks_are_objects:
        dataset = instance_ids.open_instance_ids(splits[split], folder, name_folders, options)
    else:
        find = partial(find_tables, map_folders)
        dataset = open_maps(splits[split], files, folder, name_folders, find, options)
    add_notes(dataset, [*layout.notes, *selection.notes])
    return dataset


def open_class_masks(
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
        classes = rename_classes(classes, user_names)
    info = DatasetInfo(
        f"{semantic.FORMAT} (a mask per class)", ("semantic",), notes + pairs.missing_maps_note
    )
    return semantic.open_semantic_maps(pairs, folder, classes.labels, classes.read, info, options)


def open_maps(
    pairs: Pairs,
    files: Sequence[MapFile],
    folder: Path,
    name_folders: Sequence[Path],
    find: Callable[[], list[ClassTable]],
    options: DatasetOptions,
) -> MapDataset:
    """Build the dataset for images and maps, whatever the maps' values mean.

    Args:
        pairs: Images and their maps.
        files: Maps of all splits, which together decide what values mean.
        folder: Folder of the dataset.
        name_folders: Folders that may hold a `labels.json` naming a thing and a stuff.
        find: Function that returns the class tables, the most likely first.
        options: Options given by the user.

    Raises:
        DataError: A map cannot be read, or a class table does not fit.
    """
    if options.format == instance_ids.FORMAT:
        return instance_ids.open_instance_ids(pairs, folder, name_folders, options)
    tables = find()
    if options.format == channels.FORMAT:
        return channels.open_channel_maps(pairs, files, folder, tables, options)
    has_things = options.format is None and any(
        has_thing_names(p / "labels.json") for p in name_folders
    )
    has_names = bool(tables) or has_things or options.names is not None
    statistics = sample_statistics(files) if has_names else sample_informative_maps(files)
    interpretation = interpret_maps(
        statistics,
        classes=len(tables[0].rows) if tables else 0,
        has_thing_names=has_things,
        is_semantic=options.format == semantic.FORMAT,
    )
    if interpretation.kind == "ids":
        return instance_ids.open_instance_ids(
            pairs, folder, name_folders, options, interpretation.evidence
        )
    has_colour_table = any(table.coloured for table in tables)
    has_unknown_colours = (
        interpretation.kind == "colour" and not has_colour_table and options.format is None
    )
    if has_unknown_colours and channels.are_class_and_object_channels(statistics):
        return channels.open_channel_maps(pairs, files, folder, tables, options)
    classes = determine_classes(interpretation, statistics, files, tables, options.names)
    notes = classes.notes + describe_values(classes, statistics) + pairs.missing_maps_note
    info = DatasetInfo(
        f"{semantic.FORMAT} ({KIND_DESCRIPTIONS[interpretation.kind]})", ("semantic",), notes
    )
    return semantic.open_semantic_maps(pairs, folder, classes.labels, classes.read, info, options)
