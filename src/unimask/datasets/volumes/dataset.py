"""Dataset of the slices of volumes."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unimask.config import Window
from unimask.datasets.groups import choose_validation_groups
from unimask.datasets.interface import DatasetInfo, add_notes
from unimask.datasets.packed import Stream
from unimask.datasets.sample import Sample
from unimask.datasets.scenes.dataset import PNG_CHANNELS, encode_image
from unimask.datasets.volumes.cache import CaseCache, DecodedCase
from unimask.datasets.volumes.case import IGNORED, VolumeCase
from unimask.datasets.volumes.intensities import IntensityRule, measure_intensities
from unimask.errors import DataError, SettingsError
from unimask.formats.file_digest import sampled_digest
from unimask.labels import LabelSet
from unimask.volumes.slice_images import RGB, count_channels, stack_slices
from unimask.volumes.windows import WindowOptions, choose_window, to_grey

HELD_OUT = 0.2
"""Share of the slices that are held out for validation if there is only one patient."""

MIN_SLICES = 5
"""Smallest number of slices of a case of the only patient of which some are held out."""


@dataclass(frozen=True, slots=True)
class SliceLayout:
    """How slices become images.

    Attributes:
        slices: Number of neighbouring slices that are channels: 1, 3 or 5.
        channels: Number of channels of the images.
    """

    slices: int = 1
    channels: int = RGB


class VolumeDataset:
    """Slices of volumes, displayed as `predict_volume` displays them.

    Slices without a label are samples too. Cases are read when they are needed, and
    decoded ones are cached within the memory of `CaseCache`.

    Args:
        name: Name of the dataset.
        labels: Label set, the background first.
        cases: Cases.
        info: Description of the dataset.
        layout: How slices become images.
        samples: Index of the case and position of each slice that is a sample; all by default.
    """

    def __init__(
        self,
        name: str,
        labels: LabelSet,
        cases: Sequence[VolumeCase],
        info: DatasetInfo,
        layout: SliceLayout,
        samples: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self.name, self.labels, self.cases, self.info = name, labels, list(cases), info
        self.layout = layout
        self._window: Window = None
        self.samples = all_slices(self.cases) if samples is None else list(samples)
        suffix = ".png" if layout.channels in PNG_CHANNELS else ".npy"
        self.paths = [
            slice_path(self.cases[index], position, suffix) for index, position in self.samples
        ]
        self.cache = CaseCache(self.decode)
        self.digests: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        """Read a slice and its labels.

        Raises:
            DataError, ImageError: A file cannot be read, or holds unknown labels.
        """
        case, position = self.samples[index]
        decoded = self.cache.get(case)
        label_ids = decoded.labels[position]
        ignored = label_ids == IGNORED
        present = np.flatnonzero(np.bincount(label_ids[~ignored], minlength=1))
        numbers = np.zeros(len(self.labels) + 1, np.int32)  # the last entry is that of IGNORED
        numbers[present] = np.arange(1, len(present) + 1)
        return Sample(
            image=self.read_image(index),
            id_maps=numbers[label_ids][None],
            label_ids=present,
            crowds=np.zeros(len(present), bool),
            ignored=ignored if ignored.any() else None,
            path=self.paths[index],
        )

    def read_image(self, index: int) -> np.ndarray:
        """Read the image of a slice, uint8 (h, w, c)."""
        case, position = self.samples[index]
        images = self.cache.get(case).images
        count, layout = images.shape[1], self.layout
        read = [image.__getitem__ for image in images]
        return stack_slices(read, count, position, layout.slices, layout.channels)

    def decode(self, index: int) -> DecodedCase:
        """Read the images and the labels of a case, in the order in which slices are displayed."""
        case, images = self.cases[index], []
        for volume in case.read_images():
            limits = choose_window(volume, WindowOptions(), self.window)
            view = case.plane.view(volume.values)
            images.append([to_grey(each, limits, volume.is_inverted) for each in view])
        labels = np.ascontiguousarray(case.plane.view(case.labels.read(case.grid)))
        return DecodedCase(np.array(images, np.uint8), labels)

    @property
    def window(self) -> Window:
        """Values that are mapped to 0 and 255; None for 8-bit values as they are, else "auto"."""
        return self._window

    @window.setter
    def window(self, window: Window) -> None:
        if window != self._window:
            self._window = window
            self.cache.clear()

    @property
    def slices(self) -> int:
        """Number of neighbouring slices that are channels."""
        return self.layout.slices

    def measure_intensities(self) -> IntensityRule:
        """Return the window that suits the modality, measured on the cases."""
        return measure_intensities(self.cases)

    def image_size(self, index: int) -> tuple[int, int]:
        """Return height and width of an image without reading it."""
        return self.cases[self.samples[index][0]].slice_size

    def label_digest(self, index: int) -> str:
        """Compute a digest of the files of the case of a slice."""
        case = self.samples[index][0]
        if case not in self.digests:
            self.digests[case] = sampled_digest(self.cases[case].files)
        return self.digests[case]

    def open_image(self, index: int) -> Stream:
        """Return a slice as a file, PNG or an array of NumPy."""
        return io.BytesIO(encode_image(self.read_image(index)))

    @property
    def can_be_divided(self) -> bool:
        """Whether there are enough patients, or slices of one, to hold some out for validation."""
        if len({case.patient for case in self.cases}) > 1:
            return True
        return max(case.num_slices for case in self.cases) >= MIN_SLICES

    def divide(self) -> dict[str, "VolumeDataset"]:
        """Divide the slices into those for training and those that are held out for validation.

        About a fifth of the slices is held out. All cases of a patient stay together. If there is
        only one patient, the last slices of each case are held out.

        Raises:
            DataError: There is only one patient, whose cases have few slices.
        """
        if not self.can_be_divided:
            raise DataError(
                f"{self.name} has volumes of one patient ({self.cases[0].name}) with fewer than "
                f"{MIN_SLICES} slices, too few to set some aside: add another patient"
            )
        groups: dict[str, list[int]] = {}
        for place, (index, _) in enumerate(self.samples):
            groups.setdefault(self.cases[index].patient, []).append(place)
        if len(groups) == 1:
            return self.divide_patient()
        split = choose_validation_groups(groups)
        held = {self.samples[place][0] for place in split.val}
        parts = {
            "train": self.select([i for i in range(len(self.cases)) if i not in held]),
            "val": self.select(sorted(held)),
        }
        names = [case.name for case in parts["val"].cases]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        count = f"{len(names)} of {len(self.cases)} cases held out for validation"
        for part in parts.values():
            add_notes(part, [f"{count}: {', '.join(names[:3])}{more}"])
        return parts

    def divide_patient(self) -> dict[str, "VolumeDataset"]:
        """Hold out the last slices of each case of the only patient."""
        starts = [case.num_slices - round(HELD_OUT * case.num_slices) for case in self.cases]
        parts = {
            "train": self.part(self.cases, [s for s in self.samples if s[1] < starts[s[0]]]),
            "val": self.part(self.cases, [s for s in self.samples if s[1] >= starts[s[0]]]),
        }
        note = (
            f"only one patient: the last {len(parts['val'])} of {len(self)} slices are held out "
            "for validation, whose scores say nothing about other patients"
        )
        for part in parts.values():
            add_notes(part, [note])
        return parts

    def select(self, cases: Sequence[int]) -> "VolumeDataset":
        """Return the slices of some cases."""
        return self.part([self.cases[index] for index in cases])

    def part(
        self, cases: Sequence[VolumeCase], samples: Sequence[tuple[int, int]] | None = None
    ) -> "VolumeDataset":
        """Return a part with the same window, of whole cases or of some of their slices."""
        info = replace(self.info)
        part = VolumeDataset(self.name, self.labels, cases, info, self.layout, samples)
        part.window = self.window
        return part


def all_slices(cases: Sequence[VolumeCase]) -> list[tuple[int, int]]:
    """Return index and position of all slices of all cases."""
    return [
        (index, position) for index, case in enumerate(cases) for position in range(case.num_slices)
    ]


def slice_path(case: VolumeCase, position: int, suffix: str) -> Path:
    """Return the path that names a slice; nothing exists there."""
    path = case.images[0].path
    return path.with_name(f"{case.name}_slice_{position:04d}{suffix}")


def choose_layout(name: str, num_images: int, slices: int, channels: int) -> SliceLayout:
    """Return how slices become images.

    Raises:
        SettingsError: The number of channels does not fit.
    """
    expected = count_channels(slices, num_images)
    if channels not in (expected, slices * num_images):
        raise SettingsError(
            f"{name} has {num_images} image{'' if num_images == 1 else 's'} per case, with "
            f"{slices} slice{'' if slices == 1 else 's'} {expected} channels: pass --channels "
            f"{expected} (channels={expected}), or a model of so many"
        )
    return SliceLayout(slices, channels)


def describe_cases(cases: Sequence[VolumeCase]) -> str:
    """Return the numbers of cases, slices and planes as text."""
    planes = Counter(case.plane.name for case in cases)
    total = sum(case.num_slices for case in cases)
    shown = " and ".join(f"{name} slices of {count}" for name, count in planes.most_common())
    noun = "case" if len(cases) == 1 else "cases"
    return f"{len(cases)} {noun} of {total} slices: {shown}; slices without labels are read too"
