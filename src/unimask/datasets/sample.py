"""Define one labelled image, and build the training target of each task from it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from unimask.labels import LabelSet, Task
from unimask.outputs import Target


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Image with its objects.

    Objects are numbered from 1, and the pixels of an object hold its number on one of the layers.
    Overlapping objects lie on different layers, so that masks stay complete; any number of disjoint
    objects needs one layer. The last layer is in front.

    Attributes:
        image: RGB image, or the channels that the model reads.
        id_maps: Number of the object at each pixel of each layer, 0 for none.
        label_ids: Label id of object i + 1.
        crowds: Whether each object is a crowd of several objects: it is not a target, and
            predictions on it are not errors.
        ignored: Pixels without known ground truth; None for none.
        path: Path of the image.
        areas: Areas of the objects as stated in the file, in pixels, by which COCO classifies them
            as small, medium or large; NaN if only the mask defines the area, None if no area is
            stated.
        foreign: Ignored pixels that belong to objects of classes outside the label set, where
            Cityscapes' AP counts predictions as false positives; None for none.
        scores: Confidence of each object from 0 to 1, NaN if unknown, if the labels are
            predictions; None if they are ground truth.
        track_ids: Id of each object in all frames of its video, from 0; -1 for regions that are no
            objects. None for labels without identities.
    """

    image: UInt8[np.ndarray, "h w c"]
    id_maps: Int[np.ndarray, "l h w"]
    label_ids: Int[np.ndarray, " n"]
    crowds: Bool[np.ndarray, " n"]
    ignored: Bool[np.ndarray, "h w"] | None
    path: Path
    areas: Float[np.ndarray, " n"] | None = None
    foreign: Bool[np.ndarray, "h w"] | None = None
    scores: Float[np.ndarray, " n"] | None = None
    track_ids: Int[np.ndarray, " n"] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def front(self) -> Int[np.ndarray, "h w"]:
        """Number of the front object at each pixel."""
        front = self.id_maps[0]
        for layer in self.id_maps[1:]:
            front = np.where(layer > 0, layer, front)
        return front

    @property
    def num_hidden_pixels(self) -> int:
        """Number of pixels that objects have behind other objects."""
        if len(self.id_maps) == 1:
            return 0
        return int(np.count_nonzero(self.id_maps)) - int(np.count_nonzero(self.front))

    def mask(self, number: int) -> Bool[np.ndarray, "h w"]:
        """Return the pixels of one object."""
        return (self.id_maps == number).any(axis=0)


def build_target(sample: Sample, task: Task, labels: LabelSet) -> Target:
    """Build the training target of a task.

    Panoptic has one segment per thing and one per stuff class, instance has things only, and
    semantic has one segment per class. Objects without a pixel are left out; crowds are ignored
    pixels.
    """
    present = np.unique(sample.id_maps)
    present = present[present > 0]
    crowds = sample.crowds[present - 1]
    label_ids = sample.label_ids[present - 1]
    ignored = np.zeros(sample.size, bool) if sample.ignored is None else sample.ignored.copy()
    for number in present[crowds].tolist():
        ignored |= sample.mask(number)
    things = np.asarray(labels.is_thing)
    selected = ~crowds
    if task == "instance":
        selected &= things[label_ids]
    groups = [
        (label, members)
        for label, members in group_objects(present[selected], label_ids[selected], things, task)
    ]
    masks = torch.zeros(len(groups), *sample.size, dtype=torch.bool)
    for row, (_, members) in enumerate(groups):
        masks[row] = torch.from_numpy(union_mask(sample, members))
    target_labels = torch.tensor([label for label, _ in groups], dtype=torch.long)
    unknown = torch.from_numpy(ignored) if ignored.any() else None
    return Target(target_labels, masks, unknown)


def group_objects(
    numbers: np.ndarray, label_ids: np.ndarray, is_thing: np.ndarray, task: Task
) -> list[tuple[int, np.ndarray]]:
    """Group objects into targets: one per thing and one per stuff class; per class if semantic."""
    groups: list[tuple[int, np.ndarray]] = []
    for label in np.unique(label_ids).tolist():
        members = numbers[label_ids == label]
        if is_thing[label] and task != "semantic":
            groups += [(label, members[i : i + 1]) for i in range(len(members))]
        else:
            groups.append((label, members))
    return groups


def union_mask(sample: Sample, members: np.ndarray) -> Bool[np.ndarray, "h w"]:
    """Return the union of the masks of some objects."""
    if len(members) == 1:
        return sample.mask(int(members[0]))
    return np.any(np.isin(sample.id_maps, members), axis=0)
