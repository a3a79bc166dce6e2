"""Dataset of the chips of scenes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from unimask.config import Window
from unimask.datasets.groups import ValidationSplit, choose_validation_groups
from unimask.datasets.interface import DatasetInfo, add_notes
from unimask.datasets.packed import Stream
from unimask.datasets.sample import Sample
from unimask.datasets.scenes.chips import divide_scene
from unimask.datasets.scenes.overlaps import group_overlapping
from unimask.datasets.scenes.scene import Scene, SceneLabels, SceneReader
from unimask.errors import DataError
from unimask.formats.file_digest import sampled_digest
from unimask.labels import LabelSet
from unimask.tiling.windows import TileWindow

PNG_CHANNELS = (1, 3)
"""Numbers of channels of images that are stored as PNG; others are stored as arrays."""


@dataclass(frozen=True, eq=False)
class LabelledScene:
    """Scene with its labels."""

    scene: Scene
    labels: SceneLabels


class ChipDataset:
    """Chips of scenes: square windows that are read when they are needed.

    Pixels without data, and those of chips that reach beyond their scene, are ignored.

    Args:
        name: Name of the dataset.
        labels: Label set.
        scenes: Scenes with their labels.
        reader: Reader of the scenes' values.
        info: Description of the dataset.
        side: Side of the chips in pixels.
        overlapping: Whether chips overlap, for training.
    """

    def __init__(
        self,
        name: str,
        labels: LabelSet,
        scenes: Sequence[LabelledScene],
        reader: SceneReader,
        info: DatasetInfo,
        *,
        side: int,
        overlapping: bool = False,
    ) -> None:
        self.name, self.labels, self.scenes, self.reader = name, labels, scenes, reader
        self.info, self.chip_side = info, side
        self.chips: list[tuple[LabelledScene, TileWindow]] = [
            (each, window)
            for each in scenes
            for window in divide_scene(each.scene.size, side, overlapping=overlapping)
            if each.scene.has_data(window)
        ]
        suffix = ".png" if reader.channels in PNG_CHANNELS else ".npy"
        self.paths = [chip_path(each.scene.path, window, suffix) for each, window in self.chips]
        self.digests: dict[Path, str] = {}

    def __len__(self) -> int:
        return len(self.chips)

    def __getitem__(self, index: int) -> Sample:
        """Read a chip and its labels.

        Raises:
            DataError, ImageError: A file cannot be read.
        """
        labelled, window = self.chips[index]
        image, valid = self.reader.read(labelled.scene, window)
        labels = labelled.labels.read(window, valid)
        id_maps, label_ids = labels.id_maps, labels.label_ids
        bare = ~id_maps.any(axis=0)
        ignored = ~valid | (labels.ignored & bare)
        bare &= ~ignored
        if bare.any():  # only labels of objects leave pixels that are known and bare
            id_maps[0][bare] = len(label_ids) + 1
            label_ids = np.append(label_ids, self.labels.is_thing.index(False))
        return Sample(
            image=image,
            id_maps=id_maps,
            label_ids=label_ids,
            crowds=np.zeros(len(label_ids), bool),
            ignored=ignored if ignored.any() else None,
            path=self.paths[index],
        )

    @property
    def window(self) -> Window:
        """Values that are mapped to 0 and 255."""
        return self.reader.window

    @window.setter
    def window(self, window: Window) -> None:
        self.reader.set_window(window)

    @property
    def can_be_divided(self) -> bool:
        """Whether there are enough scenes to hold some out for validation."""
        return len(self.scenes) > 1

    def divide(self) -> dict[str, "ChipDataset"]:
        """Divide the scenes into those for training and those that are held out for validation.

        About a fifth is held out. Scenes that overlap stay together, if not all do.

        Raises:
            DataError: There is only one scene.
        """
        if not self.can_be_divided:
            raise DataError(
                f"{self.scenes[0].scene.path} is the only scene, and validation needs another: add "
                "one, or cut it in two (gdal_translate -srcwin)"
            )
        groups = group_overlapping([each.scene for each in self.scenes])
        notes: tuple[str, ...] = ()
        if len(groups) == 1:
            groups = [[index] for index in range(len(self.scenes))]
            notes = ("all scenes overlap, so that scores on those held out are too good",)
        split = self.choose_scenes(groups)
        parts = {
            "train": self.select(split.train, overlapping=True),
            "val": self.select(split.val, overlapping=False),
        }
        paths = [self.scenes[index].scene.path for index in split.val]
        held = [f"{path.parent.name}/{path.name}" for path in paths]
        more = f" and {len(held) - 3} more" if len(held) > 3 else ""
        count = f"{len(held)} of {len(self.scenes)} scenes held out for validation"
        for part in parts.values():
            add_notes(part, [f"{count}: {', '.join(held[:3])}{more}", *notes])
        return parts

    def choose_scenes(self, groups: Sequence[Sequence[int]]) -> ValidationSplit:
        """Choose the groups of scenes to hold out, by their numbers of chips."""
        indices = {id(each): index for index, each in enumerate(self.scenes)}
        scene_of_chip = [indices[id(each)] for each, _ in self.chips]
        first_scene = {index: min(group) for group in groups for index in group}
        chips: dict[str, list[int]] = {}
        for place, index in enumerate(scene_of_chip):
            name = self.scenes[first_scene[index]].scene.path.as_posix()
            chips.setdefault(name, []).append(place)
        split = choose_validation_groups(chips)
        held = {scene_of_chip[place] for place in split.val}
        training = [index for index in range(len(self.scenes)) if index not in held]
        return ValidationSplit(training, sorted(held))

    def select(self, scenes: Sequence[int], *, overlapping: bool) -> "ChipDataset":
        """Return the chips of some scenes."""
        return ChipDataset(
            self.name,
            self.labels,
            [self.scenes[index] for index in scenes],
            self.reader,
            replace(self.info),
            side=self.chip_side,
            overlapping=overlapping,
        )

    def count_things(self) -> Int[np.ndarray, " n"] | None:
        """Count the objects of thing classes in each chip; None if that requires reading files."""
        counts = []
        windows: dict[int, list[TileWindow]] = {id(each): [] for each in self.scenes}
        for each, window in self.chips:
            windows[id(each)].append(window)
        for each in self.scenes:
            found = each.labels.count_things(windows[id(each)])
            if found is None:
                return None
            counts.append(found)
        return np.concatenate([np.zeros(0, np.int64), *counts])

    def label_digest(self, index: int) -> str:
        """Compute a digest of the scene and the labels of a chip."""
        labelled, window = self.chips[index]
        path = labelled.scene.path
        if path not in self.digests:
            self.digests[path] = sampled_digest([path])
        return self.digests[path] + labelled.labels.digest(window)

    def open_image(self, index: int) -> Stream:
        """Return a chip as a file, PNG or an array of NumPy."""
        image, _ = self.reader.read(self.chips[index][0].scene, self.chips[index][1])
        return io.BytesIO(encode_image(image))


def chip_path(scene: Path, window: TileWindow, suffix: str) -> Path:
    """Return the path that names a chip; nothing exists there."""
    return scene.with_name(f"{scene.stem}_r{window.row:05d}_c{window.column:05d}{suffix}")


def encode_image(image: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Encode an image as PNG, or as an array of NumPy if PNG has no such number of channels."""
    buffer = io.BytesIO()
    if image.shape[2] in PNG_CHANNELS:
        Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(buffer, "PNG")
    else:
        np.save(buffer, image)
    return buffer.getvalue()
