"""Raw datasets of nnU-Net (v1 and v2) and of the Medical Segmentation Decathlon."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unimask.datasets.image_files import is_ignored
from unimask.datasets.interface import (
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.volumes.case import IGNORED, ImageSource, LabelMap, VolumeCase, check_cases
from unimask.datasets.volumes.dataset import VolumeDataset, choose_layout, describe_cases
from unimask.datasets.volumes.label_values import labels_from_values
from unimask.errors import DataError
from unimask.labels import LabelSet

FORMAT = "nnU-Net"

SUFFIXES = (".nii.gz", ".nii", ".nrrd")
"""Endings of volumes that are read."""

IMAGE_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".jpg")
"""Endings of two-dimensional datasets in this layout, which are read as images with maps."""

FOLDERS = {"train": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs")}
"""Folders of images and labels of each split."""

IGNORE_NAME = "ignore"
"""Name of the label without ground truth."""


@dataclass(frozen=True, eq=False)
class Description:
    """Content of dataset.json.

    Attributes:
        path: Path of the file.
        ending: Ending of the files.
        modalities: Modality of each image of a case.
        names: Name of each value except for the ignored one.
        ignored: Value of voxels without ground truth; None for none.
    """

    path: Path
    ending: str
    modalities: tuple[str, ...]
    names: dict[int, str]
    ignored: int | None


def find_nnunet(folder: Path) -> DetectedDataset | None:
    """Detect a folder with dataset.json, imagesTr and labelsTr.

    Raises:
        DataError: dataset.json is damaged, or describes what cannot be read.
    """
    file = folder / "dataset.json"
    if not file.is_file() or not (folder / "labelsTr").is_dir():
        return None
    description = read_description(file)
    if description is None:
        return None
    splits = {
        split: partial(open_split, folder, split, description)
        for split, (_, labels) in FOLDERS.items()
        if (folder / labels).is_dir()
    }
    return DetectedDataset(
        FORMAT,
        splits,
        evidence=Evidence.LAYOUT,
        reason="dataset.json names the labels of labelsTr",
        has_class_names=True,
    )


def read_description(file: Path) -> Description | None:
    """Read dataset.json; None if it describes images instead of volumes.

    Version 1 does not state the ending of files, which are images then if no label is a volume.

    Raises:
        DataError: The file is damaged, or its labels cannot be read.
    """
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as JSON ({error}): correct it") from error
    if not isinstance(content, dict) or content.get("file_ending") in IMAGE_SUFFIXES:
        return None
    if "file_ending" not in content and holds_only_images(file.parent / "labelsTr"):
        return None
    if not isinstance(content.get("labels"), dict):
        raise DataError(f'{file} has no labels: add them, such as {{"background": 0, "liver": 1}}')
    ending = content.get("file_ending", ".nii.gz")
    if ending not in SUFFIXES:
        raise DataError(f"{file} has file_ending {ending!r}: convert the files to .nii.gz")
    channels = content.get("channel_names", content.get("modality", {"0": ""}))
    if not isinstance(channels, dict) or not channels:
        raise DataError(f'{file} has no channel_names: add them, such as {{"0": "CT"}}')
    names, ignored = read_labels(content["labels"], file)
    modalities = tuple(clean_modality(str(channels[key])) for key in sorted(channels, key=number))
    return Description(file, ending, modalities, names, ignored)


def holds_only_images(folder: Path) -> bool:
    """Return whether a folder holds images and no volumes."""
    names = [path.name.lower() for path in folder.iterdir()]
    if any(name.endswith(SUFFIXES) for name in names):
        return False
    return any(name.endswith(IMAGE_SUFFIXES) for name in names)


def number(key: str) -> int:
    """Return a key of channel_names as a number; 0 if it is none."""
    return int(key) if key.isdecimal() else 0


def clean_modality(name: str) -> str:
    """Return "CT" for CT in any spelling, and every other name unchanged."""
    return "CT" if name.strip().upper() == "CT" else name.strip()


def read_labels(labels: Mapping[str, Any], file: Path) -> tuple[dict[int, str], int | None]:
    """Return the name of each value, and the value of ignored voxels.

    Version 2 lists names with their values, version 1 and the Decathlon values with their names.

    Raises:
        DataError: Values are no integers, or regions of several values.
    """
    names: dict[int, str] = {}
    ignored = None
    for key, item in labels.items():
        if isinstance(item, list):
            raise DataError(
                f"{file} has the region {key!r} of several labels: list each label with its own "
                "value, since regions overlap"
            )
        is_reversed = isinstance(item, str) and not item.isdecimal() and key.isdecimal()
        name, value = (item, key) if is_reversed else (key, item)
        if isinstance(value, bool) or not str(value).isdecimal():
            raise DataError(f"{file} has the label {name!r} of value {value!r}: pass an integer")
        if name.lower() == IGNORE_NAME:
            ignored = int(value)
            continue
        if int(value) in names:
            raise DataError(f"{file} uses the value {value} for {names[int(value)]!r} and {name!r}")
        names[int(value)] = name
    return names, ignored


def open_split(
    folder: Path, split: str, description: Description, options: DatasetOptions
) -> VolumeDataset:
    """Open the slices of a split.

    Raises:
        DataError: A file is missing, damaged, or on another grid.
        ImageError: An image cannot be read.
        MissingExtraError: A package of the extra `medical` is not installed.
        SettingsError: The number of channels does not fit.
    """
    name = folder.absolute().name
    layout = choose_layout(name, len(description.modalities), options.slices, options.channels)
    labels, values = labels_from_values(description.names, str(description.path))
    if description.ignored is not None:
        values[description.ignored] = IGNORED
    cases = find_cases(folder, split, description, labels, values)
    check_cases(cases)
    notes = f"as dataset.json names them; {describe_cases(cases)}"
    info = DatasetInfo(FORMAT, tasks=("semantic",), notes=notes)
    return VolumeDataset(name, labels, cases, info, layout)


def find_cases(
    folder: Path,
    split: str,
    description: Description,
    labels: LabelSet,
    values: dict[int, int],
) -> list[VolumeCase]:
    """Return the cases of a split.

    Raises:
        DataError: An image or a label file is missing.
    """
    images_name, labels_name = FOLDERS[split]
    images = list_volumes(folder / images_name, description.ending)
    cases, used = [], set()
    for stem, path in list_volumes(folder / labels_name, description.ending).items():
        sources = []
        for channel, modality in enumerate(description.modalities):
            numbered = f"{stem}_{channel:04d}"
            found = numbered if numbered in images or len(description.modalities) > 1 else stem
            if found not in images:
                raise DataError(
                    f"{path} has no image {images_name}/{numbered}{description.ending}: add it, or "
                    "move the label away"
                )
            used.add(found)
            sources.append(ImageSource(images[found], modality=modality))
        label_map = LabelMap(path, values, labels, description.path.name)
        cases.append(VolumeCase(stem, stem, tuple(sources), label_map))
    if not cases:
        raise DataError(f"{folder / labels_name} holds no files {description.ending}: add them")
    if rest := sorted(set(images) - used):
        raise DataError(
            f"{images[rest[0]]} has no label in {labels_name}, or is no channel of dataset.json "
            f"({len(rest)} such images): add the label, or move the image away"
        )
    return cases


def list_volumes(folder: Path, ending: str) -> dict[str, Path]:
    """Return the files with an ending by their names without it, sorted."""
    if not folder.is_dir():
        return {}
    return {
        path.name[: -len(ending)]: path
        for path in sorted(folder.iterdir())
        if path.name.endswith(ending) and path.is_file() and not is_ignored(path.name)
    }
