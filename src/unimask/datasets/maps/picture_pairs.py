"""Pictures and label maps in folders of any name: finding them, and what the maps mean."""

from functools import partial
from pathlib import Path

from unimask.datasets.found import About, Dataset, Found, Wish
from unimask.datasets.maps import instance_ids, semantic
from unimask.datasets.maps.class_table import find_tables, folders_above, names_things
from unimask.datasets.maps.classes import classes_of
from unimask.datasets.maps.kinds import glimpses, kind_of, looks_like_maps
from unimask.datasets.maps.partners import Pairs, find_pairs

MEANINGS = {
    "index": "a value per class",
    "ids": "a value per class",
    "colour": "a colour per class",
    "binary": "a class and its background",
}
"""What maps hold, in words."""


def find_picture_pairs(folder: Path) -> Found | None:
    """Look for label maps that share the names of pictures, in folders of any name."""
    splits = find_pairs(folder, looks_like_maps)
    if not splits:
        return None
    openers = {split: partial(open_pairs, folder, splits, split) for split in splits}
    return Found(semantic.FORMAT, openers, (instance_ids.FORMAT,))


def open_pairs(folder: Path, splits: dict[str, Pairs], split: str, wish: Wish) -> Dataset:
    """Open one split; what maps mean is found by those of all splits together.

    Raises:
        DataError: A map cannot be read, or a table of classes does not fit.
    """
    pairs, paths = splits[split], [path for each in splits.values() for path in each.maps]
    places = folders_above(paths, folder)
    naming = [*reversed(places), folder.parent]
    if wish.format == instance_ids.FORMAT:
        return instance_ids.instance_ids(pairs, folder, naming, wish)
    tables, seen = find_tables(places), glimpses(paths)
    thinged = wish.format is None and any(names_things(p / "labels.json") for p in naming)
    kind = kind_of(seen, classes=len(tables[0].rows) if tables else 0, thinged=thinged)
    if kind == "ids" and wish.format is None:
        return instance_ids.instance_ids(pairs, folder, naming, wish)
    classes = classes_of(kind, seen, paths, tables, wish.names)
    about = About(
        f"{semantic.FORMAT} ({MEANINGS[kind]})", ("semantic",), classes.told + pairs.left_out
    )
    return semantic.semantic_maps(pairs, folder, classes.labels, classes.read, about, wish)
