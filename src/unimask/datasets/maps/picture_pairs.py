"""Pictures and label maps in folders of any name: finding them, and what the maps mean."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from unimask.datasets.found import About, Dataset, Found, Wish
from unimask.datasets.maps import channels, instance_ids, semantic
from unimask.datasets.maps.class_table import ClassTable, find_tables, folders_above, names_things
from unimask.datasets.maps.classes import classes_of
from unimask.datasets.maps.glimpses import glimpses, looks_like_maps
from unimask.datasets.maps.kinds import read_meaning
from unimask.datasets.maps.map_pictures import MapPictures
from unimask.datasets.maps.mask_set import MapFile, first_file
from unimask.datasets.maps.meaning import in_words
from unimask.datasets.maps.partners import Pairs, find_pairs
from unimask.datasets.maps.scanned_values import informative_glimpses

MEANINGS = {
    "index": "a value per class",
    "ids": "a value per class",
    "colour": "a colour per class",
    "binary": "a class and its background",
}
"""What maps hold, in words."""

KINDS = (instance_ids.FORMAT, channels.FORMAT)
"""What maps may be besides semantic."""


def find_picture_pairs(folder: Path) -> Found | None:
    """Look for label maps that share the names of pictures, in folders of any name."""
    splits = find_pairs(folder, looks_like_maps)
    if not splits:
        return None
    openers = {split: partial(open_pairs, folder, splits, split) for split in splits}
    return Found(semantic.FORMAT, openers, KINDS)


def open_pairs(folder: Path, splits: dict[str, Pairs], split: str, wish: Wish) -> Dataset:
    """Open one split; what maps mean is found by those of all splits together.

    Raises:
        DataError: A map cannot be read, or a table of classes does not fit.
    """
    files = [file for each in splits.values() for file in each.maps]
    places = folders_above([first_file(file) for file in files], folder)
    naming = [*reversed(places), folder.parent]
    return open_maps(splits[split], files, folder, naming, partial(find_tables, places), wish)


def open_maps(
    pairs: Pairs,
    files: Sequence[MapFile],
    folder: Path,
    naming: Sequence[Path],
    find: Callable[[], list[ClassTable]],
    wish: Wish,
) -> MapPictures:
    """Open pictures and their maps, whatever these mean.

    Args:
        pairs: Pictures and their maps.
        files: The maps of all splits, which together tell what they mean.
        folder: Of the dataset.
        naming: Folders in which a `labels.json` of thing and stuff may be.
        find: Finds tables of classes, the likeliest first.
        wish: What somebody says of them.

    Raises:
        DataError: A map cannot be read, or a table of classes does not fit.
    """
    if wish.format == instance_ids.FORMAT:
        return instance_ids.instance_ids(pairs, folder, naming, wish)
    tables = find()
    if wish.format == channels.FORMAT:
        return channels.channel_maps(pairs, files, folder, tables, wish)
    thinged = wish.format is None and any(names_things(p / "labels.json") for p in naming)
    named = bool(tables) or thinged or wish.names is not None
    seen = glimpses(files) if named else informative_glimpses(files)
    reading = read_meaning(
        seen,
        classes=len(tables[0].rows) if tables else 0,
        thinged=thinged,
        semantic=wish.format == semantic.FORMAT,
    )
    if reading.kind == "ids":
        return instance_ids.instance_ids(pairs, folder, naming, wish, reading.evidence)
    painted = any(table.coloured for table in tables)
    unpainted = reading.kind == "colour" and not painted and wish.format is None
    if unpainted and channels.are_channels(seen):
        return channels.channel_maps(pairs, files, folder, tables, wish)
    classes = classes_of(reading, seen, files, tables, wish.names)
    told = classes.told + in_words(classes, seen) + pairs.left_out
    about = About(f"{semantic.FORMAT} ({MEANINGS[reading.kind]})", ("semantic",), told)
    return semantic.semantic_maps(pairs, folder, classes.labels, classes.read, about, wish)
