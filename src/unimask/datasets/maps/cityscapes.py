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
from unimask.datasets.maps.segments import FOREIGN, SegmentClass, open_segment_maps
from unimask.datasets.maps.semantic import open_semantic_maps
from unimask.label_sets import known_labels
from unimask.labels import IGNORE_LABEL

FORMAT = "Cityscapes"

RAW_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Raw id of each of the 19 evaluated classes; the other ids up to 33 are not evaluated."""

LAST_RAW_ID = 33
OBJECT_FACTOR = 1000
"""Factor of instance ids: a thing's value is `OBJECTS * raw id + object number`."""

IMAGES, GROUND_TRUTH = "leftImg8bit", "gtFine"


def find_cityscapes(folder: Path) -> DetectedDataset | None:
    """Detect Cityscapes by `leftImg8bit/SPLIT/CITY/` beside `gtFine/SPLIT/CITY/`."""
    if not (folder / IMAGES).is_dir() or not (folder / GROUND_TRUTH).is_dir():
        return None
    splits = [s for s in ("train", "val", "test") if (folder / GROUND_TRUTH / s).is_dir()]
    openers = {s: partial(open_split, folder, s) for s in splits if (folder / IMAGES / s).is_dir()}
    reason = f"{IMAGES}/ beside {GROUND_TRUTH}/"
    detected = DetectedDataset(FORMAT, openers, (), Evidence.LAYOUT, reason, has_class_names=True)
    return detected if openers else None


def open_split(folder: Path, split: str, options: DatasetOptions) -> Dataset:
    """Open the richest labels of a split: instance ids, else label ids, else train ids."""
    labels = known_labels("cityscapes")
    instances = pair_by_frame(folder, split, "instanceIds")
    if instances.images:
        notes = f"groups are crowds, other classes are ignored{instances.missing_maps_note}"
        info = DatasetInfo(FORMAT, notes=notes, ap="cityscapes")
        return open_segment_maps(
            instances, folder, labels, read_numbers, classify_segment, info, options
        )
    pairs, label_of = pair_by_frame(folder, split, "labelIds"), dict.fromkeys(range(34), IGNORED)
    label_of |= {raw: label for label, raw in enumerate(RAW_IDS)}
    if not pairs.images:
        pairs = pair_by_frame(folder, split, "labelTrainIds")
        label_of = {label: label for label in range(len(labels))} | {IGNORE_LABEL: IGNORED}
    notes = "other classes are ignored"
    info = DatasetInfo(
        f"{FORMAT} without instance ids", ("semantic",), notes + pairs.missing_maps_note
    )
    read = Classes(labels, label_of, False, notes).read
    return open_semantic_maps(pairs, folder, labels, read, info, options)


def pair_by_frame(folder: Path, split: str, kind: str) -> Pairs:
    """Pair the images of a split with maps of one kind."""
    pairs = Pairs()
    pairs.add(
        files_by_frame(folder / IMAGES / split, f"_{IMAGES}.png"),
        files_by_frame(folder / GROUND_TRUTH / split, f"_{GROUND_TRUTH}_{kind}.png"),
    )
    return pairs


def files_by_frame(folder: Path, ending: str) -> dict[str, Path]:
    """Return the files of all cities with this name ending, keyed by city and frame."""
    files = sorted(folder.glob(f"*/**/*{ending}"))
    return {path.relative_to(folder).as_posix().removesuffix(ending): path for path in files}


def classify_segment(code: int) -> SegmentClass:
    """Return the label id and crowd flag of an instance id: a thing without a number is a crowd.

    Objects of classes that are not evaluated (caravans and trailers) are `FOREIGN`: the authors'
    instance evaluation treats only groups of them as void.

    Raises:
        KeyError: The value is not one that Cityscapes defines.
    """
    raw = code // OBJECT_FACTOR if code >= OBJECT_FACTOR else code
    if raw > LAST_RAW_ID:
        raise KeyError(code)
    if raw not in RAW_IDS:
        return (FOREIGN, False) if code >= OBJECT_FACTOR else None
    label = RAW_IDS.index(raw)
    return label, code < OBJECT_FACTOR and known_labels("cityscapes").is_thing[label]
