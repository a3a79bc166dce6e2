"""Images and labels in files of NIfTI or NRRD that belong together by their names."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from unimask.datasets.interface import (
    ALL_IMAGES,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
    UnlabelledError,
)
from unimask.datasets.volumes.case import (
    CaseLabels,
    ImageSource,
    LabelMap,
    VolumeCase,
    check_cases,
    find_values,
    whole_values,
)
from unimask.datasets.volumes.dataset import VolumeDataset, choose_layout, describe_cases
from unimask.datasets.volumes.label_values import labels_from_values, name_values
from unimask.datasets.volumes.pairing import (
    PATIENT,
    NamedVolume,
    Pair,
    VolumeFiles,
    list_volumes,
    pair_up,
    select_labels,
)
from unimask.datasets.volumes.structure_masks import StructureMasks
from unimask.errors import DataError, SettingsError
from unimask.labels import LabelSet
from unimask.volumes.open_volume import open_volume

FORMAT = "volume pairs"


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
    files = files if options.masks is None else select_labels(files, options.masks)
    by_split = group_by_split(files.labels)
    if split not in by_split:
        raise UnlabelledError(f"{folder} has no label maps of --masks {options.masks} in {split}")
    pairs = {name: pair_up(labels, files.images) for name, labels in by_split.items()}
    everything = [pair for part in pairs.values() for pair in part]
    name = folder.absolute().name
    layout = choose_layout(name, count_images(everything), options.slices, options.channels)
    labels, build = choose_labels(everything, options)
    cases = [
        VolumeCase(
            pair.name,
            pair.patient,
            tuple(ImageSource(each.path) for each in pair.images),
            build(pair),
        )
        for pair in pairs[split]
    ]
    cases = with_patients(cases)
    check_cases(cases)
    example = pairs[split][0].labels[0].path.name
    notes = [f"labels are {example} and the like", describe_cases(cases)]
    unlabelled = len(files.images) - sum(len(pair.images) for pair in everything)
    if unlabelled:
        notes.append(f"{unlabelled} volumes without labels are left out")
    info = DatasetInfo(FORMAT, tasks=("semantic",), notes="; ".join(notes))
    return VolumeDataset(name, labels, cases, info, layout)


def count_images(pairs: Sequence[Pair]) -> int:
    """Return the number of images per case.

    Raises:
        DataError: It differs.
    """
    most = max(len(pair.images) for pair in pairs)
    odd = next((pair for pair in pairs if len(pair.images) < most), None)
    if odd is not None:
        raise DataError(
            f"{odd.labels[0].path} has {len(odd.images)} images, other labels have {most}: add the "
            "missing ones"
        )
    return most


def choose_labels(
    pairs: Sequence[Pair], options: DatasetOptions
) -> tuple[LabelSet, Callable[[Pair], CaseLabels]]:
    """Return the label set, and a function that returns the labels of a case.

    Classes are the names of masks, or the values of label maps.

    Raises:
        DataError, ImageError: A label map cannot be read, or all of them are empty.
        SettingsError: The names do not fit.
    """
    if max(len(pair.labels) for pair in pairs) > 1:
        if options.names is not None:
            raise SettingsError("--names cannot rename masks: their files name the structures")
        stems = sorted({label.stem for pair in pairs for label in pair.labels})
        labels, _ = labels_from_values(dict(enumerate(stems, start=1)), "the masks")
        return labels, lambda pair: StructureMasks(
            {label.stem: label.path for label in pair.labels}, labels
        )
    found = sorted(set().union(*(find_labels(pair.labels[0].path) for pair in pairs)) - {0})
    if not found:
        raise DataError(
            f"{pairs[0].labels[0].path} and all other label maps hold only 0: label some"
        )
    labels, values = labels_from_values(name_values(found, options.names), "--names")
    return labels, lambda pair: LabelMap(pair.labels[0].path, values, labels, "no other file")


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
