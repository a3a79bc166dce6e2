"""Volumes of a folder by their names: images and labels, and which of them belong together."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unimask.datasets.image_files import walk_folders
from unimask.datasets.interface import ALL_IMAGES
from unimask.datasets.maps.folder_words import parse_key, role_from_names, split_words
from unimask.datasets.splits import SPLIT_NAMES
from unimask.errors import DataError

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
    """Images of a case with their labels.

    Attributes:
        images: Images.
        labels: One label map, or a mask per structure.
    """

    images: tuple[NamedVolume, ...]
    labels: tuple[NamedVolume, ...]

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


def pair_up(labels: Sequence[NamedVolume], images: Sequence[NamedVolume]) -> list[Pair]:
    """Return the images of each case with their labels.

    Several label maps of an image are masks of structures if their folder is below the image's.

    Raises:
        DataError: A label map has no image, or images have several label maps.
    """
    by_folder: dict[tuple[str, ...], list[NamedVolume]] = {}
    for image in images:
        by_folder.setdefault(image.folders, []).append(image)
    found: dict[Path, Pair] = {}
    for label in labels:
        own = match_images(label, by_folder)
        before = found.get(own[0].path)
        if before is not None and not (
            is_mask(label, own[0]) and is_mask(before.labels[0], own[0])
        ):
            raise DataError(
                f"{own[0].path} has two label maps, {before.labels[0].path.name} and "
                f"{label.path.name}: choose an ending or a folder by --masks"
            )
        found[own[0].path] = Pair(own, (*(before.labels if before else ()), label))
    return list(found.values())


def select_labels(files: VolumeFiles, masks: str) -> VolumeFiles:
    """Return the volumes with those as labels whose names, or a folder, are as given.

    Raises:
        DataError: There are none.
    """

    def is_selected(volume: NamedVolume) -> bool:
        return volume.stem.endswith(masks) or masks in volume.path.parts[:-1]

    labels = [volume for volume in (*files.labels, *files.images) if is_selected(volume)]
    if not labels:
        raise DataError(
            f"no volume ends with {masks!r} (--masks) or is in such a folder: pass an end of names "
            f"such as {files.labels[0].stem}"
        )
    return VolumeFiles([image for image in files.images if not is_selected(image)], labels)


def is_mask(label: NamedVolume, image: NamedVolume) -> bool:
    """Return whether a label is in a folder of labels below that of its image."""
    folder = label.path.parent
    is_below = image.path.parent in folder.parents
    return is_below and role_from_names((folder.name,)) == "map"


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
