"""Label sets: class names, thing or stuff, and colours."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from unimask.errors import SettingsError, TaskError

Task = Literal["semantic", "instance", "panoptic"]
TASKS: tuple[Task, ...] = get_args(Task)

IGNORE_LABEL = 255
"""Value of unlabelled pixels in semantic maps."""


Colour = tuple[int, int, int]
"""Red, green and blue, each from 0 to 255."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Classes of a dataset or a network, in the order of the network's outputs.

    Sets with the same names and things are equal, whatever their colours and category ids.

    Attributes:
        names: Name of each class; its index is the label id, which counts from 0.
        is_thing: Per class, True for things (countable objects) and False for stuff.
        colours: Per class, the colour for drawings, or None for a colour chosen automatically;
            empty if all are chosen automatically.
        category_ids: Per class, its id in the dataset's files (`category_id` in COCO), which
            exports use; empty if only the label ids are known.

    Example:
        >>> from unimask.labels import LabelSet
        >>> labels = LabelSet(names=("cell", "background"), is_thing=(True, False))
        >>> len(labels), labels.things
        (2, (0,))
    """

    names: tuple[str, ...]
    is_thing: tuple[bool, ...]
    colours: tuple[Colour | None, ...] = field(default=(), compare=False)
    category_ids: tuple[int, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Validate the label set.

        Raises:
            SettingsError: The set is empty, the tuples differ in length, a colour is not valid, or
                two classes share a category id.
        """
        if not self.names:
            raise SettingsError("a label set needs at least one name")
        if len(self.names) != len(self.is_thing):
            raise SettingsError(
                f"{len(self.names)} names, but {len(self.is_thing)} thing flags: pass one per name"
            )
        if self.colours and len(self.colours) != len(self.names):
            raise SettingsError(
                f"{len(self.names)} names, but {len(self.colours)} colours: pass one per name, or "
                "none"
            )
        if self.category_ids and len(set(self.category_ids)) != len(self.names):
            raise SettingsError(
                f"{len(self.names)} names, but {len(set(self.category_ids))} different category "
                "ids: pass one per name, or none"
            )
        for colour in self.colours:
            if colour is not None and not is_colour(colour):
                raise SettingsError(
                    f"{colour} is not a colour: pass red, green and blue from 0 to 255"
                )

    def __len__(self) -> int:
        return len(self.names)

    def colour(self, label_id: int) -> Colour | None:
        """Return the colour of a class, or None if drawings choose it."""
        return self.colours[label_id] if self.colours else None

    def category_id(self, label_id: int) -> int:
        """Return the dataset's id of a class, or the label id if that is unknown."""
        return self.category_ids[label_id] if self.category_ids else label_id

    @property
    def things(self) -> tuple[int, ...]:
        """Label ids of the things."""
        return tuple(index for index, thing in enumerate(self.is_thing) if thing)


def adds_background(labels: LabelSet, things: LabelSet) -> bool:
    """Return whether `labels` are `things` followed by a stuff class "background".

    Datasets of objects have this class for pixels that no object covers; networks for instance
    segmentation may lack it.
    """
    return labels == LabelSet((*things.names, "background"), (*things.is_thing, False))


BACKGROUND = "background"
"""Name of the stuff class of pixels without an object."""


def is_background(name: str) -> bool:
    """Return whether a class is the background, in any spelling."""
    return name.strip("_ ").lower() == BACKGROUND


UNUSED = "unused"
"""First word of the names of outputs that no class of the training data has."""


def is_unused(name: str) -> bool:
    """Return whether a name belongs to an output without a class, as `UNUSED` and its number."""
    return name.startswith(f"{UNUSED} ")


PLACEHOLDER_NAMES = ("object", "background")
"""Class names of objects and of the rest, where a dataset has no names."""


def have_same_classes(ours: LabelSet, theirs: LabelSet) -> bool:
    """Return whether the label ids of both sets mean the same classes; `theirs` may be unnamed."""
    has_same_names = theirs.names in (ours.names, PLACEHOLDER_NAMES)
    return has_same_names and ours.is_thing == theirs.is_thing


def is_colour(colour: Sequence[int]) -> bool:
    """Return whether the values are red, green and blue from 0 to 255."""
    return len(colour) == 3 and all(0 <= value <= 255 for value in colour)


def parse_task(task: str) -> Task:
    """Return `task` typed as one of the three task names.

    Raises:
        TaskError: The task is none of the three.
    """
    for known in TASKS:
        if isinstance(task, str) and task == known:
            return known
    raise TaskError(f"unknown task {task!r}: choose one of {', '.join(TASKS)}")


def most_demanding_task(tasks: Sequence[Task]) -> Task:
    """Return the most demanding of the tasks: panoptic, then instance, then semantic."""
    return max(tasks, key=TASKS.index)
