"""Names, things and colours of public datasets' classes, read when somebody asks for them.

Each file beside this one lists a set's classes in the order of the published networks' outputs:
name, "thing" or "stuff", and the colour and the category id that its dataset gives it, if any. The
facts are those of
detectron2's `builtin_meta.py` (COCO, Cityscapes) and of Mask2Former's `data/datasets/register_*.py`
(ADE20K, Mapillary Vistas, COCO-Stuff); COCO's are panopticapi's `panoptic_coco_categories.json`;
CamVid's those of SegNet's `test_segmentation_camvid.py`; Dubai's those that Humans in the Loop tell
of their aerial pictures.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from unimask.labels import Colour, LabelSet

SIZES = {
    "coco_panoptic": 133,
    "coco_instance": 80,
    "coco_stuff": 171,
    "ade20k": 150,
    "ade20k_instance": 100,
    "ade20k_full": 847,
    "cityscapes": 19,
    "cityscapes_instance": 8,
    "mapillary_vistas": 65,
    "camvid": 11,
    "dubai_aerial": 5,
}
"""Classes per set; no two sets are of one size, so that a network's outputs tell its set."""

THINGS_OF = {"coco_instance": "coco_panoptic", "cityscapes_instance": "cityscapes"}
"""Sets that are the things of another set, in the same order."""

LIKENESS = 0.75
"""Share of the names that must agree: ADE20K is published under names that differ in ten places."""


class KnownClass(NamedTuple):
    """A class of a public dataset.

    Attributes:
        name: As its dataset calls it.
        is_thing: True where objects are counted.
        colour: As #rrggbb, if it has one.
        category_id: Its number in the dataset's files, if that is not its place in the list.
    """

    name: str
    is_thing: bool
    colour: str | None = None
    category_id: int | None = None


@lru_cache
def read_classes(name: str) -> tuple[KnownClass, ...]:
    """Read the classes of a set, in the order of the published networks' outputs."""
    if name in THINGS_OF:
        return tuple(entry for entry in read_classes(THINGS_OF[name]) if entry.is_thing)
    rows = json.loads((Path(__file__).parent / f"{name}.json").read_text())
    return tuple(KnownClass(row[0], row[1] == "thing", *row[2:]) for row in rows)


def known_labels(name: str) -> LabelSet:
    """Return the label set called `name`, one of `SIZES`, with its dataset's colours and ids."""
    names, things, colours, ids = zip(*read_classes(name), strict=True)
    return LabelSet(
        names,
        things,
        tuple(colour and rgb(colour) for colour in colours) if any(colours) else (),
        tuple(ids) if None not in ids else (),
    )


def rgb(colour: str) -> Colour:
    """Read a colour from #rrggbb."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def in_known_colours(labels: LabelSet) -> LabelSet:
    """Give a set without colours those of the known set whose names it has, if it has any's."""
    known = None if labels.colours else recognise(labels.names)
    return labels if known is None else replace(labels, colours=known_labels(known).colours)


def recognise(names: Sequence[str]) -> str | None:
    """Say which known set these names are, synonyms and capitals aside; None for none."""
    for name, size in SIZES.items():
        if size != len(names):
            continue
        pairs = zip(names, read_classes(name), strict=True)
        alike = sum(first_word(given) == first_word(entry.name) for given, entry in pairs)
        if alike >= LIKENESS * size:
            return name
    return None


def first_word(name: str) -> str:
    """Give the first of several synonyms ("road, route"), in small letters."""
    return name.split(",")[0].strip().lower()
