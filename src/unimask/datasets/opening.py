"""Opening of datasets and of their splits by one call."""

from pathlib import Path

from unimask.datasets.describe import check_classes
from unimask.datasets.folder import DatasetFolder, has_subfolder
from unimask.datasets.interface import (
    Dataset,
    DatasetOptions,
    DetectedDataset,
    check_chip_options,
    check_slices_option,
)
from unimask.datasets.supervision import check_supervision
from unimask.errors import DataError, SettingsError


def open_dataset(
    path: str | Path,
    split: str | None = None,
    *,
    names: tuple[str, ...] | None = None,
    channels: int = 3,
    format: str | None = None,
    masks: str | None = None,
    bands: tuple[int, ...] | None = None,
    chip: int | None = None,
    slices: int = 1,
) -> Dataset:
    """Open the dataset in a folder, or one split of it.

    All formats are detected, and the most likely one that can be opened is used (`candidates.py`);
    `describe` names it and the others present. A split has the name that the dataset uses ("valid"
    and "validation" are "val"), or that of an inner folder. Without a "val" split, images are set
    aside by rule (`groups.py`), and the others are "train". None opens all images of a folder
    without splits, else "train", or the only split whatever its name.

    Args:
        path: Path of the folder; or "owner/name" for a dataset on the Hub, if no such folder
            exists.
        split: Split to open: "train", "val", another of the dataset's own splits, or None.
        names: Class names, for formats that only number the classes.
        channels: Number of channels of the images, 3 for RGB.
        format: Label format to use, by its name ("coco", "yolo", "semantic maps", ...).
        masks: Folder or ending of the label maps to read, if images have several; several separated
            by commas are black and white masks of one class each.
        bands: Scenes: band of each channel, counted from 1; None for red, green and blue as the
            rasters name them, or all bands if there are as many as channels.
        chip: Scenes: side in pixels of the chips they are cut into; 512 by default.
        slices: Volumes: number of neighbouring slices that are channels, 1, 3 or 5.

    Raises:
        DataError: No format can be opened; the message lists the formats tried, or those supported.
        SettingsError: `format` is unknown, or `names` cannot be used.
        MissingExtraError: The dataset is Hugging Face's, and the extra `datasets` is not installed.
    """
    options = DatasetOptions(names, channels, format, masks, bands=bands, chip=chip, slices=slices)
    dataset = DatasetFolder(Path(path), options).open(split)
    check_chip_options(dataset, bands, chip)
    check_slices_option(dataset, slices)
    return dataset


def open_train_and_val(
    path: str | Path,
    *,
    split: str | None = None,
    val_split: str | None = None,
    names: tuple[str, ...] | None = None,
    channels: int = 3,
    format: str | None = None,
    masks: str | None = None,
    bands: tuple[int, ...] | None = None,
    chip: int | None = None,
    slices: int = 1,
) -> tuple[Dataset, Dataset]:
    """Open the training split and the validation split.

    Args:
        path: Path of the folder, or the dataset's name on the Hub.
        split: Training split; None for "train".
        val_split: Validation split; None for the folder's "val", else for images of the training
            split that are set aside by rule.
        names: Class names, for formats that only number the classes.
        channels: Number of channels of the images, 3 for RGB.
        format: Label format to use.
        masks: Label maps to read, as in `open_dataset`.
        bands: Bands of scenes, as in `open_dataset`.
        chip: Side of the chips of scenes, as in `open_dataset`.
        slices: Neighbouring slices of volumes, as in `open_dataset`.

    Raises:
        DataError: A split cannot be opened, their classes differ, or there is nothing to learn.
        SettingsError: Both are the same split, or an option cannot be used.
    """
    options = DatasetOptions(names, channels, format, masks, bands=bands, chip=chip, slices=slices)
    folder = DatasetFolder(Path(path), options)
    splits = folder.detect(split or val_split).splits
    if val_split in splits:
        train = folder.own_split(split) if split in splits and split else folder.open(split)
        val = folder.own_split(str(val_split))
    elif val_split is not None:
        train, val = folder.open(split or "train"), folder.open(val_split)
    elif split in (None, "train") or "val" in splits:
        train, val = folder.open(split or "train"), folder.open("val")
    elif split in splits:
        train, val = (
            folder.split_by_rule(str(split), "train"),
            folder.split_by_rule(str(split), "val"),
        )
    elif has_subfolder(folder.path, str(split)):
        inner = DatasetFolder(folder.path / str(split), folder.options)
        train, val = inner.open("train"), inner.open("val")
    else:
        raise DataError(folder.missing_split_message(split))
    if train is val:
        raise SettingsError(
            f"{path}: training and validation are both {val_split or split or 'all images'}: pass "
            "two different splits by --split and --val-split"
        )
    check_chip_options(train, bands, chip)
    check_classes(train, val)
    check_supervision(train)
    return train, val


def detect_format(folder: Path, format: str | None = None) -> DetectedDataset:
    """Return the format of a folder, and its splits.

    Args:
        folder: Folder of the dataset.
        format: Only format to accept; None for any.

    Raises:
        DataError: The folder has no known format, or another one than `format`.
    """
    return DatasetFolder(folder, DatasetOptions(format=format)).detect()


def split_names(folder: Path, options: DatasetOptions) -> tuple[str | None, ...]:
    """Return the splits that `open_dataset` can open; see `DatasetFolder.split_names`."""
    return DatasetFolder(folder, options).split_names()
