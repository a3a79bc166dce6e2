"""One labelled picture, and what a task asks of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from unimask.labels import LabelSet, Task
from unimask.outputs import Target


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture with its objects.

    Objects are numbered from 1; an object's pixels carry its number on one of the layers.
    Objects that overlap lie on different layers, so nothing is flattened, and a picture whose
    objects are disjoint needs one layer, however many they are. The last layer is in front.

    Attributes:
        image: RGB, or the channels that the model reads.
        id_maps: Numbers of the objects, 0 for none.
        label_ids: Label id of object i + 1.
        crowds: Objects that stand for many: no targets, and wrong nowhere.
        ignored: Pixels of unknown truth; None for none.
        path: The picture's file.
        areas: What the file says that the objects' areas are, in pixels, by which COCO calls them
            small, medium or large; NaN where only their masks tell, None where no file does.
        foreign: Ignored pixels that are objects of classes beside the labels. To Cityscapes' AP
            they are no void: what is found there is wrong. None for none.
    """

    image: UInt8[np.ndarray, "h w c"]
    id_maps: Int[np.ndarray, "l h w"]
    label_ids: Int[np.ndarray, " n"]
    crowds: Bool[np.ndarray, " n"]
    ignored: Bool[np.ndarray, "h w"] | None
    path: Path
    areas: Float[np.ndarray, " n"] | None = None
    foreign: Bool[np.ndarray, "h w"] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def front(self) -> Int[np.ndarray, "h w"]:
        """One object per pixel: where several overlap, the one in front."""
        front = self.id_maps[0]
        for layer in self.id_maps[1:]:
            front = np.where(layer > 0, layer, front)
        return front

    @property
    def covered(self) -> int:
        """Pixels that objects have behind others."""
        if len(self.id_maps) == 1:
            return 0
        return int(np.count_nonzero(self.id_maps)) - int(np.count_nonzero(self.front))

    def mask(self, number: int) -> Bool[np.ndarray, "h w"]:
        """Give the pixels of one object."""
        return (self.id_maps == number).any(axis=0)


def build_target(sample: Sample, task: Task, labels: LabelSet) -> Target:
    """Give what the network should answer for `task`.

    Panoptic asks for every thing and one segment per stuff class, instance for things alone,
    semantic for one segment per class. Objects without a pixel are left out; crowds are
    ignored pixels.
    """
    present = np.unique(sample.id_maps)
    present = present[present > 0]
    crowds = sample.crowds[present - 1]
    label_ids = sample.label_ids[present - 1]
    ignored = np.zeros(sample.size, bool) if sample.ignored is None else sample.ignored.copy()
    for number in present[crowds].tolist():
        ignored |= sample.mask(number)
    things = np.asarray(labels.is_thing)
    wanted = ~crowds
    if task == "instance":
        wanted &= things[label_ids]
    groups = [
        (label, members)
        for label, members in group(present[wanted], label_ids[wanted], things, task)
    ]
    masks = torch.zeros(len(groups), *sample.size, dtype=torch.bool)
    for row, (_, members) in enumerate(groups):
        masks[row] = torch.from_numpy(pixels_of(sample, members))
    target_labels = torch.tensor([label for label, _ in groups], dtype=torch.long)
    unknown = torch.from_numpy(ignored) if ignored.any() else None
    return Target(target_labels, masks, unknown)


def group(
    numbers: np.ndarray, label_ids: np.ndarray, is_thing: np.ndarray, task: Task
) -> list[tuple[int, np.ndarray]]:
    """Say which objects make one target: each thing alone, stuff by class; classes if semantic."""
    groups: list[tuple[int, np.ndarray]] = []
    for label in np.unique(label_ids).tolist():
        members = numbers[label_ids == label]
        if is_thing[label] and task != "semantic":
            groups += [(label, members[i : i + 1]) for i in range(len(members))]
        else:
            groups.append((label, members))
    return groups


def pixels_of(sample: Sample, members: np.ndarray) -> Bool[np.ndarray, "h w"]:
    """Give the union of some objects."""
    if len(members) == 1:
        return sample.mask(int(members[0]))
    return np.any(np.isin(sample.id_maps, members), axis=0)
