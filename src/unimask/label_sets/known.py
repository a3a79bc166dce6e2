"""Classes of public datasets: names, thing or stuff, colours and category ids, read on first use.

Each JSON file in this folder lists the classes of a label set in the order of the published
networks' outputs: name, "thing" or "stuff", and the dataset's colour and category id, if any.
Sources: detectron2's `builtin_meta.py` (COCO, Cityscapes); Mask2Former's
`data/datasets/register_*.py` (ADE20K, Mapillary Vistas, COCO-Stuff); panopticapi's
`panoptic_coco_categories.json` (COCO); SegNet's `test_segmentation_camvid.py` (CamVid); the
description that Humans in the Loop publish with their aerial images (Dubai); the development kit of
Pascal VOC 2012; Mask2Former's `data_video/datasets/ytvis.py` (YouTube-VIS).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from unimask.labels import UNUSED, Colour, LabelSet, is_unused

NUM_CLASSES = {
    "coco_panoptic": 133,
    "coco_instance": 80,
    "coco_stuff": 171,
    "coco_detr": 250,
    "ade20k": 150,
    "ade20k_instance": 100,
    "ade20k_full": 847,
    "cityscapes": 19,
    "cityscapes_instance": 8,
    "mapillary_vistas": 65,
    "camvid": 11,
    "dubai_aerial": 5,
    "pascal_voc": 21,
    "youtube_vis_2019": 40,
    "youtube_vis_2021": 40,
}
"""Number of classes per label set; only those of YouTube-VIS are equal, so that a network's outputs
identify any other set.
"""

LAST_COCO_THING = 90
"""Greatest category id of COCO's things; those of its stuff are greater."""

THING_SUBSETS = {"coco_instance": "coco_panoptic", "cityscapes_instance": "cityscapes"}
"""Label sets that are the things of another one, in the same order."""

MIN_EQUAL_NAMES = 0.75
"""Minimum fraction of equal names; ADE20K is published under names that differ in ten places."""


class KnownClass(NamedTuple):
    """A class of a public dataset.

    Attributes:
        name: Name of the class in its dataset.
        is_thing: True for things (countable objects), False for stuff.
        colour: Colour as #rrggbb, if the dataset has one.
        category_id: Id in the dataset's files, if it differs from the position in the list.
    """

    name: str
    is_thing: bool
    colour: str | None = None
    category_id: int | None = None


@lru_cache
def read_classes(name: str) -> tuple[KnownClass, ...]:
    """Read the classes of a label set, in the order of the published networks' outputs."""
    if name in THING_SUBSETS:
        return tuple(entry for entry in read_classes(THING_SUBSETS[name]) if entry.is_thing)
    if name == "coco_detr":
        return tuple(list_by_coco_id(NUM_CLASSES[name]))
    rows = json.loads((Path(__file__).parent / f"{name}.json").read_text())
    return tuple(KnownClass(row[0], row[1] == "thing", *row[2:]) for row in rows)


def list_by_coco_id(count: int) -> Iterator[KnownClass]:
    """Yield the classes of COCO panoptic in the order of their ids, from 0 to `count` - 1.

    DETR's outputs are these ids (`is_thing_map` in `models/detr.py`), of which many are unused.
    """
    used = {entry.category_id: entry for entry in read_classes("coco_panoptic")}
    for number in range(count):
        unused = KnownClass(f"{UNUSED} {number}", number <= LAST_COCO_THING, None, number)
        yield used.get(number, unused)


def known_labels(name: str) -> LabelSet:
    """Return the label set called `name`, one of `SIZES`, with its dataset's colours and ids."""
    names, things, colours, ids = zip(*read_classes(name), strict=True)
    return LabelSet(
        names,
        things,
        tuple(colour and parse_colour(colour) for colour in colours) if any(colours) else (),
        tuple(ids) if None not in ids else (),
    )


def parse_colour(colour: str) -> Colour:
    """Parse a colour of the form #rrggbb."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def add_known_colours(labels: LabelSet) -> LabelSet:
    """Return the labels in the colours of the known label set with their names, if there is one."""
    known = None if labels.colours else find_label_set(labels.names)
    return labels if known is None else replace(labels, colours=known_labels(known).colours)


def find_label_set(names: Sequence[str]) -> str | None:
    """Return the known label set with these names, ignoring case and synonyms, or None.

    Names of outputs that the known set does not use may differ.
    """
    for name, size in NUM_CLASSES.items():
        if size != len(names):
            continue
        pairs = zip(names, read_classes(name), strict=True)
        used = [(theirs, entry.name) for theirs, entry in pairs if not is_unused(entry.name)]
        num_equal = sum(first_word(theirs) == first_word(ours) for theirs, ours in used)
        if num_equal >= MIN_EQUAL_NAMES * len(used):
            return name
    return None


def first_word(name: str) -> str:
    """Return the first of several synonyms ("road, route") in lower case."""
    return name.split(",")[0].strip().lower()
