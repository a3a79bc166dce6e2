"""Open the dataset in a folder, and its splits."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from unimask.datasets.candidates import (
    MAP_FORMATS,
    Candidates,
    find_candidates,
    format_failures,
    split_attribute,
    unknown_format_message,
)
from unimask.datasets.groups import ValidationSplit, choose_validation_images
from unimask.datasets.interface import (
    ALL_IMAGES,
    Dataset,
    DatasetOptions,
    DetectedDataset,
    Evidence,
    SupportsDivide,
    UnlabelledError,
    add_notes,
)
from unimask.datasets.objects.coco_find import PANOPTIC
from unimask.datasets.scenes.find_class_maps import FORMAT as CLASS_MAPS
from unimask.datasets.splits import Subset, can_be_divided
from unimask.datasets.volumes.pairs import FORMAT as VOLUME_PAIRS
from unimask.errors import DataError, SettingsError, UnimaskError

KNOWN_SPLITS = ("train", "val", "test")


@dataclass
class DatasetFolder:
    """Folder of labelled images whose format is chosen once, and whose splits are read once.

    Candidate formats are tried in the order of `find_candidates`; the first with a split that can
    be opened is the folder's format. If files of a format are present but cannot be opened, label
    maps that only names suggest are not tried instead, because they would be different labels.

    Attributes:
        path: Path of the folder, or the dataset's name on the Hub.
        options: Options given by the user.
        datasets: Splits opened so far, each with all its images.
        validation_split: Training and validation images of the split that is divided by rule; None
            until then.
    """

    path: Path
    options: DatasetOptions = field(default_factory=DatasetOptions)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    validation_split: ValidationSplit | None = None

    def __post_init__(self) -> None:
        """Detect the formats that the folder may have.

        Raises:
            DataError: The folder does not exist, or has no known format.
            SettingsError: The user names an unknown format.
        """
        if self.options.format is not None:
            name, attribute = split_attribute(self.options.format)
            attribute = attribute or self.options.attribute
            self.options = replace(self.options, format=name, attribute=attribute)
        readable = (None, *MAP_FORMATS, VOLUME_PAIRS)
        if self.options.masks is not None and self.options.format not in readable:
            raise SettingsError(
                f"--masks chooses label maps, and there are none in {self.options.format}"
            )
        if self.options.masks is not None and self.options.format is None:
            self.candidates = find_map_candidates(self.path)
        else:
            self.candidates = find_candidates(self.path, self.options.format)
        if not self.candidates.formats and not self.candidates.failures:
            raise DataError(unknown_format_message(self.path))
        self.detected: DetectedDataset | None = None

    def detect(self, needed_split: str | None = None) -> DetectedDataset:
        """Return the folder's format.

        Args:
            needed_split: Split that the caller needs, so that no other split has to be opened; None
                for any.

        Raises:
            DataError: No format can be opened; the message lists the formats tried and the reasons.
        """
        if self.detected is None:
            self.detected = self.first_readable_format(needed_split)
        return self.detected

    def first_readable_format(self, needed_split: str | None) -> DetectedDataset:
        """Return the first format of which some split can be opened.

        Raises:
            UnimaskError: No format can be opened.
        """
        failures: list[tuple[str, UnimaskError]] = list(self.candidates.failures)
        is_damaged = False
        for detected in self.candidates.formats:
            if is_damaged and detected.evidence < Evidence.CONTENT:
                continue
            reason = None
            for split in ordered_splits(detected, needed_split):
                try:
                    self.datasets[split] = self.open_own_split(detected, split, failures)
                except DataError as error:
                    reason = reason or error
                else:
                    return detected
            if reason is not None:
                failures.append((detected.format, reason))
                is_damaged = is_damaged or is_damaged_format(detected, reason)
        raise no_format_error(self.path, failures)

    def open_own_split(
        self,
        detected: DetectedDataset,
        split: str,
        failures: list[tuple[str, UnimaskError]] | None = None,
    ) -> Dataset:
        """Open all images of one of the folder's own splits.

        Raises:
            DataError: The split cannot be opened, or has no images.
            SettingsError: The files name their classes, and the user gives other names.
        """
        kind = self.options.format if self.options.format in MAP_FORMATS else None
        names = None if detected.has_class_names else self.options.names
        dataset = detected.splits[split](replace(self.options, format=kind, names=names))
        if not len(dataset):
            raise UnlabelledError(f"{self.path} has no images with labels in {split}: add some")
        if detected.has_class_names:
            check_class_names(self.path, dataset, self.options.names)
        failed_notes = [
            f"cannot be read as {name}: {error}"
            for name, error in failures or ()
            if not isinstance(error, UnlabelledError) or detected.evidence < Evidence.CONTENT
        ]
        add_notes(dataset, [*detected.notes, *self.other_format_notes(detected), *failed_notes])
        return dataset

    def other_format_notes(self, detected: DetectedDataset) -> list[str]:
        """Return a note that names the other formats present in the folder."""
        own_formats = (
            detected.format,
            *(MAP_FORMATS if has_own_maps(detected) else ()),
        )
        names = dict.fromkeys(
            each.format
            for each in self.candidates.formats
            if each.format not in own_formats and each.evidence > Evidence.EMPTY
        )
        if not names or self.options.format is not None:
            return []
        formats = " and ".join(names)
        return [
            f"the folder also has labels as {formats}, which are not read: choose them with "
            "--format"
        ]

    def own_split(self, split: str) -> Dataset:
        """Return all images of one of the folder's own splits."""
        detected = self.detect(split)
        if split not in self.datasets:
            self.datasets[split] = self.open_own_split(detected, split)
        return self.datasets[split]

    @property
    def main_split(self) -> str | None:
        """Split that "train" and "val" are made from if they are not both present; None for none.

        It is all images of a folder without splits, "train", or the folder's only split unless that
        is a split for evaluation.
        """
        splits = self.detect().splits
        for name in (ALL_IMAGES, "train"):
            if name in splits:
                return name
        only = next(iter(splits))
        return only if len(splits) == 1 and only not in KNOWN_SPLITS else None

    def open(self, split: str | None = None) -> Dataset:
        """Open one split, or the images for training; see `open_dataset`.

        Raises:
            DataError: The split does not exist, or cannot be opened.
        """
        detected = self.detect(split)
        is_split_by_rule = "val" not in detected.splits and self.main_split is not None
        if split in ("train", "val") and is_split_by_rule:
            return self.split_by_rule(str(self.main_split), split)
        if split in detected.splits:
            return self.own_split(str(split))
        if split is None and (self.main_split or len(detected.splits) == 1):
            return self.own_split(self.main_split or next(iter(detected.splits)))
        if split is not None and has_subfolder(self.path, split):
            return DatasetFolder(self.path / split, self.options).open()
        raise DataError(self.missing_split_message(split))

    def split_by_rule(self, source: str, split: str) -> Dataset:
        """Return the training or the validation part of a split that is divided by rule.

        Raises:
            DataError: There are too few images to set some aside.
        """
        dataset = self.own_split(source)
        if isinstance(dataset, SupportsDivide):
            return dataset.divide()[split]
        if not can_be_divided(dataset):
            raise DataError(
                f"{self.path} has {len(dataset)} images, too few to set some aside: add a val/"
            )
        if self.validation_split is None:
            self.validation_split = choose_validation_images(dataset)
        subset = Subset(
            dataset, self.validation_split.train if split == "train" else self.validation_split.val
        )
        add_notes(subset, self.validation_split.notes)
        return subset

    def missing_split_message(self, split: str | None) -> str:
        """Return the error message for a split that does not exist."""
        names = ", ".join(self.detect().splits)
        if split in (None, "train"):
            return (
                f"{self.path} has no split 'train': it has {names}; name one of them by --split, "
                "or add a folder train/"
            )
        return (
            f"{self.path} has no split {split!r}: it has {names}; use one of these, or add a "
            f"folder {split}/"
        )

    def split_names(self) -> tuple[str | None, ...]:
        """Return the splits that can be opened: the folder's own, or those made by rule.

        None stands for all images for training if they are too few to set some aside.
        """
        splits, main = self.detect().splits, self.main_split
        if "val" in splits or main is None:
            return tuple(splits)
        others = (name for name in splits if name != main)
        if not can_be_divided(self.own_split(main)):
            return (None, *others)
        return ("train", "val", *others)


def find_map_candidates(folder: Path) -> Candidates:
    """Detect label maps of images, or else of volumes.

    Raises:
        DataError: The folder holds neither.
    """
    try:
        return find_candidates(folder, MAP_FORMATS[0])
    except DataError as error:
        try:
            return find_candidates(folder, VOLUME_PAIRS)
        except DataError:
            raise error from None


def ordered_splits(detected: DetectedDataset, needed_split: str | None) -> Iterator[str]:
    """Return the splits of a format, the requested one first, then those for training."""
    names = dict.fromkeys([needed_split or ALL_IMAGES, ALL_IMAGES, "train", *detected.splits])
    return (name for name in names if name in detected.splits)


def has_own_maps(detected: DetectedDataset) -> bool:
    """Return whether a format stores its labels in maps, which would also be read as such."""
    own = detected.format in (PANOPTIC, CLASS_MAPS)
    return own or detected.evidence == Evidence.LAYOUT


def is_damaged_format(detected: DetectedDataset, reason: DataError) -> bool:
    """Return whether files of a format are present and labelled, but cannot be opened."""
    return detected.evidence >= Evidence.CONTENT and not isinstance(reason, UnlabelledError)


def has_subfolder(folder: Path, split: str) -> bool:
    """Return whether the folder has an inner folder with the name of the split."""
    try:
        return bool(split) and (folder / split).is_dir()
    except (OSError, ValueError):
        return False


def no_format_error(folder: Path, failures: list[tuple[str, UnimaskError]]) -> UnimaskError:
    """Return the error that states why no format could be opened."""
    if len(failures) == 1:
        return failures[0][1]
    return DataError(f"{folder} cannot be opened {format_failures(failures)}")


def check_class_names(folder: Path, dataset: Dataset, names: tuple[str, ...] | None) -> None:
    """Raise if the user gives other class names than the files do.

    Raises:
        SettingsError: The names differ; the message lists those of the files.
    """
    file_names = dataset.labels.names
    foreground = file_names[:-1] if file_names[-1] == "background" else file_names
    if names is not None and names not in (file_names, foreground):
        raise SettingsError(
            f"--names cannot rename or choose classes here: {folder} names its own "
            f"({', '.join(file_names)}); leave --names out, or change them in its files"
        )
