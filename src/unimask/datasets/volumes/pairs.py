"""Images and labels in files of NIfTI or NRRD that belong together by their names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from unimask.datasets.image_files import walk_folders
from unimask.datasets.interface import (
    ALL_IMAGES,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.maps.folder_words import parse_key, role_from_names, split_words
from unimask.datasets.splits import SPLIT_NAMES
from unimask.datasets.volumes.case import (
    ImageSource,
    LabelMap,
    VolumeCase,
    check_cases,
    find_values,
    whole_values,
)
from unimask.datasets.volumes.dataset import VolumeDataset, choose_layout, describe_cases
from unimask.datasets.volumes.label_values import labels_from_values, name_values
from unimask.errors import DataError
from unimask.volumes.open_volume import open_volume

FORMAT = "volume pairs"

SUFFIXES = (".nii.gz", ".nii", ".nrrd")
"""Endings of volumes that are read."""

NNUNET_FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")
"""Folders of datasets of nnU-Net, which are read as dataset.json describes them."""

LABEL_ENTITY = re.compile(r"[_.](label|desc|space|dseg|probseg)-?[^_]*$", re.IGNORECASE)
"""Parts of the names of labels in BIDS that the images lack."""

NEUTRAL_FOLDERS = frozenset(["derivatives", "anat", "nifti", "imagestr", "labelstr", *SPLIT_NAMES])
"""Names of folders that identify no patient."""

PATIENT = re.compile(r"(?:^|[_/])(sub-[A-Za-z0-9]+)")
"""Patient in BIDS."""


@dataclass(frozen=True, eq=False)
class NamedVolume:
    """File of a volume, and what its name says.

    Attributes:
        path: Path of the file.
        stem: Name without its ending.
        folders: Names of its folders that may identify a patient.
        split: Split that its folders name, `ALL_IMAGES` for none.
        key: Name without words that mark images or labels.
    """

    path: Path
    stem: str
    folders: tuple[str, ...]
    split: str
    key: str


@dataclass(eq=False)
class VolumeFiles:
    """Volumes of a folder by their role.

    Attributes:
        images: Images.
        labels: Label maps.
    """

    images: list[NamedVolume] = field(default_factory=list)
    labels: list[NamedVolume] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Pair:
    """Label map with the images that it labels."""

    label: NamedVolume
    images: tuple[NamedVolume, ...]

    @property
    def name(self) -> str:
        """Name of the case."""
        return "_".join((*self.images[0].folders, self.images[0].stem))

    @property
    def patient(self) -> str:
        """Name that all cases of a patient share: that of BIDS, the folder, or the case."""
        image = self.images[0]
        bids = PATIENT.search("/".join((*image.folders, image.stem)))
        return bids[1] if bids else next(iter(image.folders), image.stem)


def find_volume_pairs(folder: Path) -> DetectedDataset | None:
    """Detect volumes of which some are labels by their names or folders."""
    files = list_volumes(folder)
    if not files.images or not files.labels:
        return None
    splits = group_by_split(files.labels)
    return DetectedDataset(
        FORMAT,
        {split: partial(open_pairs, folder, files, split) for split in splits},
        evidence=Evidence.CONTENT,
        reason=f"{files.labels[0].path.name} is a volume of labels by its name",
    )


def list_volumes(folder: Path) -> VolumeFiles:
    """Return the volumes in a folder and below it."""
    files = VolumeFiles()
    for place, names in walk_folders(folder):
        if place.name in NNUNET_FOLDERS and (place.parent / "dataset.json").is_file():
            continue
        parts = place.relative_to(folder).parts
        for name in names:
            ending = next((each for each in SUFFIXES if name.lower().endswith(each)), None)
            if ending is None:
                continue
            stem = name[: -len(ending)]
            folders = tuple(part for part in parts if not is_neutral(part))
            volume = NamedVolume(place / name, stem, folders, named_split(parts), volume_key(stem))
            role = files.labels if is_label(parts, stem) else files.images
            role.append(volume)
    return files


def is_neutral(part: str) -> bool:
    """Return whether the name of a folder identifies no patient."""
    return part.lower() in NEUTRAL_FOLDERS or role_from_names((part,)) is not None


def is_label(folders: Sequence[str], stem: str) -> bool:
    """Return whether a volume is a label map by its name, or else by its folders."""
    if any(word.endswith("seg") for word in split_words(stem)):
        return True
    return role_from_names((*folders, stem)) == "map"


def volume_key(stem: str) -> str:
    """Return a name without words that mark images or labels, such as "seg" and "gmseg".

    >>> volume_key("sub-01_T2w_label-SC_seg"), volume_key("img0001"), volume_key("t2s_gmseg_manual")
    ('sub-01_T2w', '0001', 't2s')
    """
    while True:
        key = LABEL_ENTITY.sub("", parse_key(stem)[0])
        head, _, last = key.rpartition("_")
        if head and last.lower().endswith("seg"):
            key = head
        if key == stem:
            return key
        stem = key


def named_split(folders: Sequence[str]) -> str:
    """Return the split that folders name, `ALL_IMAGES` for none."""
    names = (part.lower() for part in folders)
    return next((SPLIT_NAMES[name] for name in names if name in SPLIT_NAMES), ALL_IMAGES)


def group_by_split(labels: Sequence[NamedVolume]) -> dict[str, list[NamedVolume]]:
    """Group label maps by the splits that folders name; all are one split if none is named."""
    splits: dict[str, list[NamedVolume]] = {}
    for label in labels:
        splits.setdefault(label.split, []).append(label)
    if len(splits) > 1:
        splits.pop(ALL_IMAGES, None)
    return splits


def open_pairs(
    folder: Path, files: VolumeFiles, split: str, options: DatasetOptions
) -> VolumeDataset:
    """Open the slices of a split.

    Raises:
        DataError: A label map has no image, an image several, or they do not fit.
        ImageError: A file cannot be read.
        MissingExtraError: A package of the extra `medical` is not installed.
        SettingsError: The names or the number of channels do not fit.
    """
    by_split = group_by_split(files.labels)
    pairs = {name: pair_up(labels, files.images) for name, labels in by_split.items()}
    everything = [pair for part in pairs.values() for pair in part]
    counts = {len(pair.images) for pair in everything}
    if len(counts) > 1:
        odd = min(everything, key=lambda pair: len(pair.images))
        raise DataError(
            f"{odd.label.path} has {len(odd.images)} images, other labels have {max(counts)}: add "
            "the missing ones"
        )
    name = folder.absolute().name
    layout = choose_layout(name, counts.pop(), options.slices, options.channels)
    found = sorted(set().union(*(find_labels(pair.label.path) for pair in everything)) - {0})
    if not found:
        raise DataError(
            f"{everything[0].label.path} and all other label maps hold only 0: label some"
        )
    labels, values = labels_from_values(name_values(found, options.names), "--names")
    cases = [
        VolumeCase(
            pair.name,
            pair.patient,
            tuple(ImageSource(image.path) for image in pair.images),
            LabelMap(pair.label.path, values, labels, "no other file"),
        )
        for pair in pairs[split]
    ]
    cases = with_patients(cases)
    check_cases(cases)
    notes = [f"labels are {pairs[split][0].label.path.name} and the like", describe_cases(cases)]
    unlabelled = len(files.images) - sum(len(pair.images) for pair in everything)
    if unlabelled:
        notes.append(f"{unlabelled} volumes without labels are left out")
    info = DatasetInfo(FORMAT, tasks=("semantic",), notes="; ".join(notes))
    return VolumeDataset(name, labels, cases, info, layout)


def find_labels(path: Path) -> list[int]:
    """Return the values of a label map.

    Raises:
        DataError, ImageError: The file cannot be read, or holds no labels.
    """
    return find_values(whole_values(open_volume(path)))


def with_patients(cases: Sequence[VolumeCase]) -> list[VolumeCase]:
    """Return cases that are patients of their own if their folders are all the same."""
    if len({case.patient for case in cases}) > 1 or PATIENT.search(cases[0].patient):
        return list(cases)
    return [VolumeCase(case.name, case.name, case.images, case.labels) for case in cases]


def pair_up(labels: Sequence[NamedVolume], images: Sequence[NamedVolume]) -> list[Pair]:
    """Return each label map with its images.

    Raises:
        DataError: A label map has no image, or images have several label maps.
    """
    by_folder: dict[tuple[str, ...], list[NamedVolume]] = {}
    for image in images:
        by_folder.setdefault(image.folders, []).append(image)
    pairs = [Pair(label, match_images(label, by_folder)) for label in labels]
    by_image: dict[Path, NamedVolume] = {}
    for pair in pairs:
        other = by_image.setdefault(pair.images[0].path, pair.label)
        if other is not pair.label:
            raise DataError(
                f"{pair.images[0].path} has two label maps, {other.path.name} and "
                f"{pair.label.path.name}: move one away"
            )
    return pairs


def match_images(
    label: NamedVolume, by_folder: Mapping[tuple[str, ...], Sequence[NamedVolume]]
) -> tuple[NamedVolume, ...]:
    """Return the images of a label map: that of its name, or those that begin with it.

    Raises:
        DataError: There are none.
    """
    images = by_folder.get(label.folders, ())
    images = [image for image in images if image.split == label.split] or images
    equal = [image for image in images if label.key in (image.key, image.stem)]
    if len(equal) == 1:
        return (equal[0],)
    longer = [image for image in images if is_start(label.key, image.key)]
    shorter = [image for image in images if is_start(image.key, label.key)]
    if longer:
        return tuple(sorted(longer, key=lambda image: image.stem))
    if shorter:
        return (max(shorter, key=lambda image: len(image.key)),)
    if len(images) == 1 and len(by_folder) > 1:
        return (images[0],)
    raise DataError(
        f"{label.path} has no image: add a volume whose name is {label.key or label.stem!r}, or "
        "begins so, to the folder of the images"
    )


def is_start(start: str, key: str) -> bool:
    """Return whether a key begins with another one and a separator."""
    return not start or (key.startswith(start) and key[len(start) : len(start) + 1] in "_-. ")
