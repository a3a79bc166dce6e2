"""Read the Cell Tracking Challenge's layout: `01/t000.tif` and `01_GT/SEG/man_seg000.tif`.

`GT/SEG` is the gold truth, masks of some frames, in which cells may be missing. `ST/SEG` is the
silver truth, computed masks of all frames. `GT/TRA` marks all cells of all frames, but in many
datasets by small markers, which are no masks.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from unimask.datasets.interface import (
    ALL_IMAGES,
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.maps.dataset import MapDataset, Objects
from unimask.datasets.maps.instance_ids import IS_THING, add_background, renumber
from unimask.datasets.maps.label_map import check_size, read_numbers
from unimask.datasets.maps.mask_set import MapFile, first_file
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.packed import file_path
from unimask.errors import DataError, SettingsError
from unimask.labels import LabelSet
from unimask.processing.images import IMAGE_SUFFIXES, pil_limit_disabled

FORMAT = "Cell Tracking Challenge"

NAMES = ("cell", "background")

SEQUENCE = re.compile(r"\d{2}")
"""Pattern of the names of the folders with the images of one sequence."""

FRAME = re.compile(r"t(\d{3,6})")
MASK = re.compile(r"man_seg(\d{3,6})")
MARKERS = re.compile(r"man_track(\d{3,6})")
SLICE = re.compile(r"man_seg_(\d{3,6})_(\d{3,6})")
"""Pattern of the masks of slices, which only volumes have."""


@dataclass(slots=True)
class Sequences:
    """Files of all sequences.

    Attributes:
        folder: Folder of the sequences.
        pairs: Frames and their masks.
        markers: Markers of the cells of each gold mask.
        num_gold: Number of gold masks.
        num_silver: Number of silver masks.
        num_lone: Number of masks without a frame.
        volume: Mask of a slice of a volume; None for none.
        first_marker: First file of markers; None for none.
    """

    folder: Path
    pairs: Pairs = field(default_factory=Pairs)
    markers: dict[Path, Path] = field(default_factory=dict)
    num_gold: int = 0
    num_silver: int = 0
    num_lone: int = 0
    volume: Path | None = None
    first_marker: Path | None = None

    def add(self, frames: Path) -> None:
        """Add the sequence whose frames are in a folder."""
        images = files_by_number(frames, FRAME)
        truth = frames.parent / f"{frames.name}_GT"
        gold = files_by_number(truth / "SEG", MASK)
        silver = files_by_number(frames.parent / f"{frames.name}_ST" / "SEG", MASK)
        markers = files_by_number(truth / "TRA", MARKERS)
        if self.volume is None:
            self.volume = next(iter(files_by_number(truth / "SEG", SLICE).values()), None)
        self.first_marker = self.first_marker or next(iter(markers.values()), None)
        self.num_gold += len(gold.keys() & images.keys())
        self.num_silver += len((silver.keys() - gold.keys()) & images.keys())
        self.num_lone += len((silver | gold).keys() - images.keys())
        self.markers |= {path: markers[key] for key, path in gold.items() if key in markers}
        self.pairs.add(images, silver | gold)

    def open(self, options: DatasetOptions) -> Dataset:
        """Open the frames that have masks.

        Raises:
            DataError: The frames are volumes, or have markers only.
            SettingsError: The number of names is wrong.
        """
        names = options.names or NAMES
        if len(names) != len(IS_THING):
            raise SettingsError(f"{self.folder} has cells and background: pass two names")
        if not self.pairs.images and self.volume is None:
            raise DataError(
                f"{self.folder} has markers of cells, such as {self.first_marker}, but no masks "
                "(GT/SEG or ST/SEG): add them, or pass --masks TRA if the markers are whole cells"
            )
        volume = self.volume or (file_path(self.pairs.images[0]) if self.pairs.images else None)
        if volume is not None and (self.volume is not None or count_pages(volume) > 1):
            raise DataError(
                f"{volume} belongs to volumes, and only images are read: save the slices and their "
                "masks as images"
            )
        return MapDataset(
            self.pairs,
            self.folder,
            LabelSet(names, IS_THING),
            partial(read_frame, self.markers),
            DatasetInfo(FORMAT, notes=self.notes()),
            options,
            self.markers,
        )

    def notes(self) -> str:
        """Return the notes on which masks are read."""
        notes = []
        if self.num_gold:
            notes.append(f"gold truth (GT/SEG) of {self.num_gold} frames")
        if self.num_silver:
            notes.append(f"silver truth (ST/SEG) of {self.num_silver} frames")
        if self.markers:
            notes.append("cells that only GT/TRA marks in gold frames are ignored")
        if self.num_lone:
            notes.append(f"{self.num_lone} masks have no frame: left out")
        return "; ".join(notes) + self.pairs.missing_maps_note


def find_cell_tracking(folder: Path) -> DetectedDataset | None:
    """Detect sequences `NN/t000.tif` beside `NN_GT/` or `NN_ST/`."""
    sequences, num_sequences = Sequences(folder), 0
    for inner in sorted(folder / name for name in os.listdir(folder) if SEQUENCE.fullmatch(name)):
        kinds = (f"{inner.name}_GT", f"{inner.name}_ST")
        if inner.is_dir() and any((folder / kind).is_dir() for kind in kinds):
            sequences.add(inner)
            num_sequences += 1
    has_labels = sequences.pairs.images or sequences.volume or sequences.first_marker
    if not num_sequences or not has_labels:
        return None
    reason = f"{num_sequences} sequences beside their truth"
    return DetectedDataset(FORMAT, {ALL_IMAGES: sequences.open}, (), Evidence.LAYOUT, reason)


def files_by_number(folder: Path, pattern: re.Pattern[str]) -> dict[str, Path]:
    """Return the images of a folder whose stem matches a pattern, by the number in it."""
    if not folder.is_dir():
        return {}
    files = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and (match := pattern.fullmatch(path.stem)):
            files["_".join(str(int(number)) for number in match.groups())] = path
    return files


def count_pages(path: Path) -> int:
    """Return the number of pages of an image; 1 if it cannot be read, which reading it reports."""
    try:
        with pil_limit_disabled():
            image = Image.open(path)
        with image:
            return getattr(image, "n_frames", 1)
    except Exception:  # decoders raise many types of exceptions
        return 1


def read_frame(markers: Mapping[Path, Path], file: MapFile) -> Objects:
    """Read the cells of a frame; markers that no mask touches are ignored pixels.

    Raises:
        DataError: The mask or the markers cannot be read, or differ in size.
    """
    path = file_path(first_file(file))
    numbers, count = renumber(read_numbers(file))
    unmasked = None
    if path in markers:
        marks = read_numbers(markers[path])
        check_size(marks, markers[path], numbers.shape, path)
        # What a mask lacks of a marked cell is background, because the mask is the ground truth.
        unmasked = (marks > 0) & ~np.isin(marks, np.unique(marks[numbers > 0]))
    return add_background(numbers[None], count, ignored=unmasked)
