"""Read Cityscapes as published: `leftImg8bit/` beside `gtFine/`, without conversion.

Values follow cityscapesscripts' `helpers/labels.py`: an instance map holds the raw class id, or
`1000 * raw id + object number`.
"""

from functools import partial
from pathlib import Path

from unimask.datasets.interface import (
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.maps.classes import IGNORED, Classes
from unimask.datasets.maps.label_map import read_numbers
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.maps.segments import FOREIGN, Meaning, segment_maps
from unimask.datasets.maps.semantic import semantic_maps
from unimask.label_sets import known_labels
from unimask.labels import IGNORE_LABEL

FORMAT = "Cityscapes"

RAW_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Raw id of each of the 19 evaluated classes; the other ids up to 33 are not evaluated."""

LAST_RAW_ID = 33
OBJECTS = 1000
"""Factor of instance ids: a thing's value is `OBJECTS * raw id + object number`."""

IMAGES, TRUTH = "leftImg8bit", "gtFine"


def find_cityscapes(folder: Path) -> DetectedDataset | None:
    """Detect Cityscapes by `leftImg8bit/SPLIT/CITY/` beside `gtFine/SPLIT/CITY/`."""
    if not (folder / IMAGES).is_dir() or not (folder / TRUTH).is_dir():
        return None
    both = [s for s in ("train", "val", "test") if (folder / TRUTH / s).is_dir()]
    openers = {s: partial(open_split, folder, s) for s in both if (folder / IMAGES / s).is_dir()}
    because = f"{IMAGES}/ beside {TRUTH}/"
    found = DetectedDataset(FORMAT, openers, (), Evidence.LAYOUT, because, has_class_names=True)
    return found if openers else None


def open_split(folder: Path, split: str, options: DatasetOptions) -> Dataset:
    """Open the richest labels of a split: instance ids, else label ids, else train ids."""
    labels = known_labels("cityscapes")
    instances = pairs_of(folder, split, "instanceIds")
    if instances.images:
        notes = f"groups are crowds, other classes are ignored{instances.missing_maps_note}"
        info = DatasetInfo(FORMAT, notes=notes, ap="cityscapes")
        return segment_maps(instances, folder, labels, read_numbers, meaning_of, info, options)
    pairs, label_of = pairs_of(folder, split, "labelIds"), dict.fromkeys(range(34), IGNORED)
    label_of |= {raw: label for label, raw in enumerate(RAW_IDS)}
    if not pairs.images:
        pairs = pairs_of(folder, split, "labelTrainIds")
        label_of = {label: label for label in range(len(labels))} | {IGNORE_LABEL: IGNORED}
    notes = "other classes are ignored"
    info = DatasetInfo(
        f"{FORMAT} without instance ids", ("semantic",), notes + pairs.missing_maps_note
    )
    read = Classes(labels, label_of, False, notes).read
    return semantic_maps(pairs, folder, labels, read, info, options)


def pairs_of(folder: Path, split: str, kind: str) -> Pairs:
    """Pair the images of a split with maps of one kind."""
    pairs = Pairs()
    pairs.add(
        by_frame(folder / IMAGES / split, f"_{IMAGES}.png"),
        by_frame(folder / TRUTH / split, f"_{TRUTH}_{kind}.png"),
    )
    return pairs


def by_frame(folder: Path, ending: str) -> dict[str, Path]:
    """Return the files of all cities with this name ending, keyed by the name of their frame."""
    return {path.name.removesuffix(ending): path for path in sorted(folder.glob(f"*/*{ending}"))}


def meaning_of(code: int) -> Meaning:
    """Return the label id and crowd flag of an instance id: a thing without a number is a crowd.

    Objects of classes that are not evaluated (caravans and trailers) are `FOREIGN`: the authors'
    instance evaluation treats only groups of them as void.

    Raises:
        KeyError: The value is not one that Cityscapes defines.
    """
    raw = code // OBJECTS if code >= OBJECTS else code
    if raw > LAST_RAW_ID:
        raise KeyError(code)
    if raw not in RAW_IDS:
        return (FOREIGN, False) if code >= OBJECTS else None
    label = RAW_IDS.index(raw)
    return label, code < OBJECTS and known_labels("cityscapes").is_thing[label]
