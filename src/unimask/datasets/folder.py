"""Which dataset lies in a folder."""

from collections.abc import Callable
from pathlib import Path

from unimask.datasets.coco_instances import find_coco_instances
from unimask.datasets.coco_panoptic import find_coco_panoptic
from unimask.datasets.cvat import find_cvat
from unimask.datasets.found import WHOLE, Dataset, Found, Wish
from unimask.datasets.labelme import find_labelme
from unimask.datasets.maps.ade20k import find_ade20k
from unimask.datasets.maps.cityscapes import find_cityscapes
from unimask.datasets.maps.mapillary_vistas import find_mapillary_vistas
from unimask.datasets.maps.picture_pairs import find_picture_pairs
from unimask.datasets.splits import EVERY, Subset, split_indices, splits_in
from unimask.datasets.tables.find import find_on_hub, find_tables_in, is_on_hub
from unimask.datasets.yolo import find_yolo
from unimask.errors import DataError

FORMATS: tuple[tuple[Callable[[Path], Found | None], str], ...] = (
    (find_ade20k, "images/training + annotations/training + objectInfo150.txt (ADE20K)"),
    (find_cityscapes, "leftImg8bit/ + gtFine/ (Cityscapes)"),
    (find_mapillary_vistas, "config.json + training/ + validation/ (Mapillary Vistas)"),
    (find_coco_panoptic, "panoptic.json + panoptic/ + images/ (COCO panoptic)"),
    (find_coco_instances, "a COCO JSON + pictures (COCO instances, Roboflow)"),
    (find_yolo, "data.yaml, or images/ + labels/*.txt (YOLO segmentation)"),
    (find_cvat, "annotations.xml + images/ (CVAT for images)"),
    (find_labelme, "a JSON per picture (LabelMe)"),
    (find_tables_in, "*.parquet, or what save_to_disk writes (Hugging Face dataset)"),
    (find_picture_pairs, "images/ + masks/ of any names (label maps: classes, or instance ids)"),
)
"""Who knows a format, in the order of asking, and what a folder of it holds."""


def open_dataset(
    path: str | Path,
    split: str | None = None,
    *,
    names: tuple[str, ...] | None = None,
    channels: int = 3,
    format: str | None = None,
) -> Dataset:
    """Open the dataset in a folder, or one split of it.

    The format is recognised by the names of files and folders (`FORMATS`), and that of label maps
    by a look at some of them (`maps/kinds.py`); `describe` says what was found. A split is what the
    dataset calls so ("valid" and "validation" are "val"), or the folder of that name. Where there
    is no "val", every fifth picture by name is "val" and the others are "train". None is all
    pictures of a folder without splits, else "train".

    Args:
        path: The folder; or "owner/name" for a dataset of the Hub, where no such folder is.
        split: "train", "val", another of the dataset's own splits, or None.
        names: Names of the classes, for formats that only number them.
        channels: Of the pictures, 3 for RGB.
        format: What the labels are called, if the look is wrong: "semantic maps", "instance ids"
            or "class and object channels".

    Raises:
        DataError: There is nothing that can be recognised; the message lists what is looked for.
        MissingExtraError: It is one of Hugging Face's, and the extra `datasets` is not installed.
    """
    folder = Path(path)
    splits, wish = recognise(folder, format).splits, Wish(names, channels, format)
    whole = WHOLE if WHOLE in splits else "train"
    if split in ("train", "val") and "val" not in splits and whole in splits:
        dataset = splits[whole](wish)
        return Subset(dataset, split_indices(len(dataset), split, folder))
    if (split or whole) in splits:
        return splits[split or whole](wish)
    if split is not None and (folder / split).is_dir():
        return open_dataset(folder / split, names=names, channels=channels, format=format)
    raise DataError(
        f"{folder} has no split {split!r}: it has {', '.join(splits)}; use one of these, or add "
        f"a folder {split}/"
    )


def recognise(folder: Path, format: str | None = None) -> Found:
    """Say which format a folder has, and its splits.

    Args:
        folder: The dataset's.
        format: The only one that it may have.

    Raises:
        DataError: None that is known here, or another one.
    """
    if not folder.is_dir() and not is_on_hub(folder):
        raise DataError(
            f"{folder} is not a folder: give the folder that holds the dataset, or the name of one "
            "on the Hub (owner/name)"
        )
    others: list[str] = []
    for find, _ in FORMATS if folder.is_dir() else ((find_on_hub, ""),):
        found = find(folder) or splits_in(folder, find)
        if found is not None and format in (None, found.format, *found.kinds):
            return found
        others += [] if found is None else [found.format, *found.kinds]
    if others:
        raise DataError(f"{folder} is no {format}: it may be {' or '.join(others)}")
    raise DataError(
        f"{folder} holds no dataset that is known here: expected "
        + ", or ".join(what for _, what in FORMATS)
    )


def split_names(folder: Path, wish: Wish) -> tuple[str | None, ...]:
    """Give the splits that `open_dataset` can open: the folder's own, or those made by rule.

    None stands for what there is to learn from, where that is too few to set any aside.
    """
    splits = recognise(folder, wish.format).splits
    whole = WHOLE if WHOLE in splits else "train"
    if "val" in splits or whole not in splits:
        return tuple(splits)
    others = (name for name in splits if name != whole)
    if len(splits[whole](wish)) < EVERY:
        return (None, *others)
    return ("train", "val", *others)
