"""Open the dataset in a folder, and its splits."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from unimask.datasets.candidates import (
    MAP_KINDS,
    expected,
    find_candidates,
    in_words,
    parse_format,
)
from unimask.datasets.describe import check_classes
from unimask.datasets.found import (
    WHOLE,
    Dataset,
    Evidence,
    Found,
    UnlabelledError,
    Wish,
    add_notes,
)
from unimask.datasets.groups import Parts, part_by_rule
from unimask.datasets.objects.coco_find import PANOPTIC
from unimask.datasets.splits import EVERY, Subset
from unimask.datasets.supervision import check_teaching
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
        wish: Options given by the user.
        datasets: Splits opened so far, each with all its images.
        parts: Training and validation images of the split that is divided by rule; None until then.
    """

    path: Path
    wish: Wish = field(default_factory=Wish)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    parts: Parts | None = None

    def __post_init__(self) -> None:
        """Detect the formats that the folder may have.

        Raises:
            DataError: The folder does not exist, or has no known format.
            SettingsError: The user names an unknown format.
        """
        if self.wish.format is not None:
            self.wish = replace(self.wish, format=parse_format(self.wish.format))
        if self.wish.masks is not None and self.wish.format not in (None, *MAP_KINDS):
            raise SettingsError(
                f"--masks chooses label maps, and there are none in {self.wish.format}"
            )
        only_maps = MAP_KINDS[0] if self.wish.masks is not None else None
        self.candidates = find_candidates(self.path, self.wish.format or only_maps)
        if not self.candidates.found and not self.candidates.refusals:
            raise DataError(expected(self.path))
        self.chosen: Found | None = None

    def found(self, first: str | None = None) -> Found:
        """Return the folder's format.

        Args:
            first: Split that the caller needs, so that no other split has to be opened; None for
                any.

        Raises:
            DataError: No format can be opened; the message lists the formats tried and the reasons.
        """
        if self.chosen is None:
            self.chosen = self.choose(first)
        return self.chosen

    def choose(self, first: str | None) -> Found:
        """Return the first format of which some split can be opened.

        Raises:
            UnimaskError: No format can be opened.
        """
        refusals: list[tuple[str, UnimaskError]] = list(self.candidates.refusals)
        damaged = False
        for found in self.candidates.found:
            if damaged and found.evidence < Evidence.CONTENT:
                continue
            reason = None
            for split in in_order(found, first):
                try:
                    self.datasets[split] = self.open_whole(found, split, refusals)
                except DataError as error:
                    reason = reason or error
                else:
                    return found
            if reason is not None:
                refusals.append((found.format, reason))
                damaged = damaged or is_damage(found, reason)
        raise refusal(self.path, refusals)

    def open_whole(
        self, found: Found, split: str, refusals: list[tuple[str, UnimaskError]] | None = None
    ) -> Dataset:
        """Open all images of one of the folder's own splits.

        Raises:
            DataError: The split cannot be opened, or has no images.
            SettingsError: The files name their classes, and the user gives other names.
        """
        kind = self.wish.format if self.wish.format in MAP_KINDS else None
        names = None if found.names_classes else self.wish.names
        dataset = found.splits[split](replace(self.wish, format=kind, names=names))
        if not len(dataset):
            raise UnlabelledError(f"{self.path} has no images with labels in {split}: add some")
        if found.names_classes:
            check_names(self.path, dataset, self.wish.names)
        passed = [
            f"passed over as {name}: {error}"
            for name, error in refusals or ()
            if not isinstance(error, UnlabelledError) or found.evidence < Evidence.CONTENT
        ]
        add_notes(dataset, [*found.notes, *self.rivals(found), *passed])
        return dataset

    def rivals(self, found: Found) -> list[str]:
        """Return a note that names the other formats present in the folder."""
        own = (found.format, *(MAP_KINDS if found.format == PANOPTIC else ()))  # its PNGs are maps
        names = dict.fromkeys(
            each.format
            for each in self.candidates.found
            if each.format not in own and each.evidence > Evidence.EMPTY
        )
        if not names or self.wish.format is not None:
            return []
        listed = " and ".join(names)
        return [f"labels as {listed} are there too and not read: --format takes them instead"]

    def whole(self, split: str) -> Dataset:
        """Return all images of one of the folder's own splits."""
        found = self.found(split)
        if split not in self.datasets:
            self.datasets[split] = self.open_whole(found, split)
        return self.datasets[split]

    @property
    def main(self) -> str | None:
        """Split that "train" and "val" are made from if they are not both present; None for none.

        It is all images of a folder without splits, "train", or the folder's only split unless that
        is a split for evaluation.
        """
        splits = self.found().splits
        for name in (WHOLE, "train"):
            if name in splits:
                return name
        only = next(iter(splits))
        return only if len(splits) == 1 and only not in KNOWN_SPLITS else None

    def open(self, split: str | None = None) -> Dataset:
        """Open one split, or the images for training; see `open_dataset`.

        Raises:
            DataError: The split does not exist, or cannot be opened.
        """
        found = self.found(split)
        ruled = "val" not in found.splits and self.main is not None
        if split in ("train", "val") and ruled:
            return self.part(str(self.main), split)
        if split in found.splits:
            return self.whole(str(split))
        if split is None and (self.main or len(found.splits) == 1):
            return self.whole(self.main or next(iter(found.splits)))
        if split is not None and is_inside(self.path, split):
            return DatasetFolder(self.path / split, self.wish).open()
        raise DataError(self.missing(split))

    def part(self, source: str, split: str) -> Dataset:
        """Return the training or the validation part of a split that is divided by rule.

        Raises:
            DataError: There are too few images to set some aside.
        """
        dataset = self.whole(source)
        if len(dataset) < EVERY:
            raise DataError(
                f"{self.path} has {len(dataset)} images, too few to set some aside: add a val/"
            )
        if self.parts is None:
            self.parts = part_by_rule(dataset)
        subset = Subset(dataset, self.parts.train if split == "train" else self.parts.val)
        add_notes(subset, self.parts.notes)
        return subset

    def missing(self, split: str | None) -> str:
        """Return the error message for a split that does not exist."""
        names = ", ".join(self.found().splits)
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
        splits, main = self.found().splits, self.main
        if "val" in splits or main is None:
            return tuple(splits)
        others = (name for name in splits if name != main)
        if len(self.whole(main)) < EVERY:
            return (None, *others)
        return ("train", "val", *others)


def in_order(found: Found, first: str | None) -> Iterator[str]:
    """Return the splits of a format, the requested one first, then those for training."""
    names = dict.fromkeys([first or WHOLE, WHOLE, "train", *found.splits])
    return (name for name in names if name in found.splits)


def is_damage(found: Found, reason: DataError) -> bool:
    """Return whether files of a format are present and labelled, but cannot be opened."""
    return found.evidence >= Evidence.CONTENT and not isinstance(reason, UnlabelledError)


def is_inside(folder: Path, split: str) -> bool:
    """Return whether the folder has an inner folder with the name of the split."""
    try:
        return bool(split) and (folder / split).is_dir()
    except (OSError, ValueError):
        return False


def refusal(folder: Path, refusals: list[tuple[str, UnimaskError]]) -> UnimaskError:
    """Return the error that states why no format could be opened."""
    if len(refusals) == 1:
        return refusals[0][1]
    return DataError(f"{folder} cannot be opened {in_words(refusals)}")


def check_names(folder: Path, dataset: Dataset, names: tuple[str, ...] | None) -> None:
    """Raise if the user gives other class names than the files do.

    Raises:
        SettingsError: The names differ; the message lists those of the files.
    """
    own = dataset.labels.names
    foreground = own[:-1] if own[-1] == "background" else own
    if names is not None and names not in (own, foreground):
        raise SettingsError(
            f"--names cannot rename or choose classes here: {folder} names its own "
            f"({', '.join(own)}); leave --names out, or change them in its files"
        )


def open_dataset(
    path: str | Path,
    split: str | None = None,
    *,
    names: tuple[str, ...] | None = None,
    channels: int = 3,
    format: str | None = None,
    masks: str | None = None,
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

    Raises:
        DataError: No format can be opened; the message lists the formats tried, or those supported.
        SettingsError: `format` is unknown, or `names` cannot be used.
        MissingExtraError: The dataset is Hugging Face's, and the extra `datasets` is not installed.
    """
    return DatasetFolder(Path(path), Wish(names, channels, format, masks)).open(split)


def open_train_and_val(
    path: str | Path,
    *,
    split: str | None = None,
    val_split: str | None = None,
    names: tuple[str, ...] | None = None,
    channels: int = 3,
    format: str | None = None,
    masks: str | None = None,
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

    Raises:
        DataError: A split cannot be opened, their classes differ, or there is nothing to learn.
        SettingsError: Both are the same split, or an option cannot be used.
    """
    folder = DatasetFolder(Path(path), Wish(names, channels, format, masks))
    own = folder.found(split or val_split).splits
    if val_split in own:
        train = folder.whole(split) if split in own and split else folder.open(split)
        val = folder.whole(str(val_split))
    elif val_split is not None:
        train, val = folder.open(split or "train"), folder.open(val_split)
    elif split in (None, "train") or "val" in own:
        train, val = folder.open(split or "train"), folder.open("val")
    elif split in own:
        train, val = folder.part(str(split), "train"), folder.part(str(split), "val")
    elif is_inside(folder.path, str(split)):
        inner = DatasetFolder(folder.path / str(split), folder.wish)
        train, val = inner.open("train"), inner.open("val")
    else:
        raise DataError(folder.missing(split))
    if train is val:
        raise SettingsError(
            f"{path}: training and validation are both {val_split or split or 'all images'}: give "
            "two different splits by --split and --val-split"
        )
    check_classes(train, val)
    check_teaching(train)
    return train, val


def recognise(folder: Path, format: str | None = None) -> Found:
    """Return the format of a folder, and its splits.

    Args:
        folder: Folder of the dataset.
        format: Only format to accept; None for any.

    Raises:
        DataError: The folder has no known format, or another one than `format`.
    """
    return DatasetFolder(folder, Wish(format=format)).found()


def split_names(folder: Path, wish: Wish) -> tuple[str | None, ...]:
    """Return the splits that `open_dataset` can open; see `DatasetFolder.split_names`."""
    return DatasetFolder(folder, wish).split_names()
