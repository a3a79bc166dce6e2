"""Check a labelled folder for errors in one call."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unimask.config import Window
from unimask.curation.findings import (
    Finding,
    find_problems,
    find_range_problems,
    format_count,
    format_names,
)
from unimask.curation.survey import Survey, survey
from unimask.datasets import Dataset
from unimask.datasets.folder import DatasetFolder
from unimask.datasets.interface import DatasetOptions, check_chip_options, dataset_info
from unimask.datasets.objects.coco_instances import CocoInstances
from unimask.datasets.scenes.dataset import ChipDataset
from unimask.datasets.scenes.overlaps import find_shared_ground
from unimask.datasets.volumes.dataset import VolumeDataset
from unimask.datasets.windows import set_volume_window, set_window
from unimask.errors import UnimaskError
from unimask.processing.value_ranges import collect_range_warnings

DEFAULT_QUERIES = 100
"""Number of queries per image in most published networks."""


@dataclass(frozen=True, eq=False)
class Report:
    """Result of a dataset check.

    Attributes:
        format: Format of the labels.
        surveys: Statistics of each split.
        findings: Problems and remarks, the severe ones first.
        notes: Notes on how the classes were determined, and on what is ignored or left out.
    """

    format: str
    surveys: tuple[Survey, ...]
    findings: tuple[Finding, ...]
    notes: str = ""

    @property
    def passed(self) -> bool:
        """Whether there are no severe findings."""
        return not any(finding.severe for finding in self.findings)

    def to_dict(self) -> dict[str, object]:
        """Return the report as plain values that can be written as JSON."""
        return {
            "format": self.format,
            "notes": self.notes,
            "passed": self.passed,
            "splits": {found.name: survey_to_dict(found) for found in self.surveys},
            "findings": [
                {"severe": f.severe, "message": f.message, "files": list(f.files)}
                for f in self.findings
            ],
        }


def check(
    data: str | Path,
    *,
    split: str | None = None,
    names: tuple[str, ...] | None = None,
    channels: int = 3,
    format: str | None = None,
    masks: str | None = None,
    bands: tuple[int, ...] | None = None,
    chip: int | None = None,
    queries: int | None = None,
    window: Window = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Read every image and label of a dataset, and report problems for training.

    Reported are images and labels that are missing, corrupt, or do not fit; labels out of range;
    images without objects, or with more objects than a network has queries; objects without a
    pixel, or equal to another; duplicate annotation ids and class names; equal images (by their
    pixels) and groups of images (by their names) on both sides of a split; classes that are rare
    in, or absent from, training; and tasks that the labels cannot train. Files that
    contradict themselves, such as two images with the same id, raise an error when the folder is
    opened.

    Args:
        data: Folder of the dataset.
        split: Only split to check; None for all splits.
        names: Class names, for formats that only number the classes.
        channels: Number of channels of the images, 3 for RGB.
        format: Label format, as in `open_dataset`.
        masks: Label maps to read, as in `open_dataset`.
        bands: Bands of scenes, as in `open_dataset`.
        chip: Side of the chips of scenes, as in `open_dataset`.
        queries: Number of queries per image of the network to be trained; images with more objects
            are severe findings. None remarks on images with more than 100, the number in most
            published networks.
        window: Range of values that is mapped to black and white when images are read, or "auto".
        progress: Function called after each image with the split, the images done and their total.

    Raises:
        DataError: There is no dataset, or it cannot be opened.

    Example:
        >>> import unimask
        >>> report = unimask.check("cells", queries=200)  # doctest: +SKIP
    """
    options = DatasetOptions(names, channels, format, masks, bands=bands, chip=chip)
    folder = DatasetFolder(Path(data), options)
    surveys, info = [], None
    with collect_range_warnings() as ranges:
        for name in (split,) if split is not None else folder.split_names():
            dataset = folder.open(name)
            check_chip_options(dataset, bands, chip)
            with suppress(UnimaskError):  # the survey reports unreadable cases
                window = set_volume_window(dataset, window) or window
            info = info or dataset_info(dataset)
            surveys.append(
                survey(
                    set_window(dataset, window),
                    name or "all",
                    queries=queries or DEFAULT_QUERIES,
                    progress=None
                    if progress is None
                    else lambda done, total, name=name: progress(name or "all", done, total),
                )
            )
    problems = find_problems(
        surveys, queries or DEFAULT_QUERIES, has_fixed_queries=queries is not None
    )
    problems += [
        f for name, opened in folder.datasets.items() for f in find_repeated_ids(name, opened)
    ]
    problems += find_overlapping_scenes(folder.datasets)
    problems += find_shared_patients(folder.datasets)
    problems = sorted(
        problems + find_range_problems(ranges), key=lambda finding: not finding.severe
    )
    classes = "" if info is None else info.notes
    return Report(folder.detect().format, tuple(surveys), tuple(problems), classes)


def find_repeated_ids(split: str, dataset: Dataset) -> list[Finding]:
    """Return a finding on ids that several annotations of a COCO JSON share."""
    if not isinstance(dataset, CocoInstances):
        return []
    names = dataset.annotations.numbers
    ids, counts = np.unique(names[names >= 0], return_counts=True)
    repeated = ids[counts > 1].tolist()
    if not repeated:
        return []
    message = f"{split}: {format_count(len(repeated), 'annotation id')} used more than once: "
    return [Finding(False, f"{message}{format_names(list(map(str, repeated)))}; renumber them")]


def find_overlapping_scenes(datasets: Mapping[str, Dataset]) -> list[Finding]:
    """Return a finding on scenes of other splits that show ground of the training scenes."""
    scenes = {
        name: [each.scene for each in dataset.scenes]
        for name, dataset in datasets.items()
        if isinstance(dataset, ChipDataset)
    }
    train = scenes.pop("train", [])
    shared = {name: find_shared_ground(train, others) for name, others in scenes.items() if train}
    return [
        Finding(
            False,
            f"{format_count(len(paths), 'scene')} of {name} overlap scenes of train: scores would "
            "be too high; split by place",
            tuple(map(str, paths)),
        )
        for name, paths in shared.items()
        if paths
    ]


def find_shared_patients(datasets: Mapping[str, Dataset]) -> list[Finding]:
    """Return a finding on cases of other splits whose patients have cases in the training split."""
    cases = {n: each.cases for n, each in datasets.items() if isinstance(each, VolumeDataset)}
    patients = {case.patient for case in cases.pop("train", []) if case.patient != case.name}
    shared = {
        name: [case.name for case in others if case.patient in patients]
        for name, others in cases.items()
    }
    return [
        Finding(
            False,
            f"{format_count(len(names), 'case')} of {name} with patients of train: scores would be "
            "too high; split by patient",
            tuple(names),
        )
        for name, names in shared.items()
        if names
    ]


def survey_to_dict(survey: Survey) -> dict[str, object]:
    """Return a survey as plain values that can be written as JSON."""
    sizes = np.array(survey.sizes or [(0, 0)])
    return {
        "images": survey.images,
        "unreadable": len(survey.unreadable),
        "empty": len(survey.empty),
        "objects": int(survey.objects.sum()),
        "crowds": survey.crowds,
        "most_things": survey.most_things[0],
        "ignored_pixels": survey.ignored,
        "overlapping_pixels": survey.overlapping,
        "smallest": sizes[sizes.prod(1).argmin()].tolist(),
        "largest": sizes[sizes.prod(1).argmax()].tolist(),
        "median_side": float(np.median(np.sqrt(sizes.prod(1)))),
        "classes": [
            {
                "name": name,
                "is_thing": thing,
                "objects": int(survey.objects[index]),
                "images": int(survey.shown[index]),
                "pixels": int(survey.areas[index]),
            }
            for index, (name, thing) in enumerate(
                zip(survey.labels.names, survey.labels.is_thing, strict=True)
            )
        ],
    }
