"""Label sets: names, which of them are things, and colours."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from unimask.errors import SettingsError, TaskError

Task = Literal["semantic", "instance", "panoptic"]
TASKS: tuple[Task, ...] = get_args(Task)

IGNORE_LABEL = 255
"""The pixel value that semantic maps reserve for "not labelled"."""


Colour = tuple[int, int, int]
"""Red, green and blue from 0 to 255."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Names of the classes, in the order of the network's outputs.

    Sets of the same names and things are equal, whatever their colours and category ids.

    Attributes:
        names: One name per class; the index is the label id, counted from 0.
        is_thing: Per class: True where objects are counted one by one, False for stuff.
        colours: Per class what drawings paint it with, None for drawings to choose; empty where
            they choose all.
        category_ids: Per class the id that its dataset's files use ("category_id" of COCO), which
            results are written with; empty where the label ids are all that is known.
    """

    names: tuple[str, ...]
    is_thing: tuple[bool, ...]
    colours: tuple[Colour | None, ...] = field(default=(), compare=False)
    category_ids: tuple[int, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Refuse sets that no network could be trained for.

        Raises:
            SettingsError: The set is empty, the tuples differ in length, a colour is not valid, or
                two classes share a category id.
        """
        if not self.names:
            raise SettingsError("a label set needs at least one name")
        if len(self.names) != len(self.is_thing):
            raise SettingsError(
                f"{len(self.names)} names, but {len(self.is_thing)} thing flags: give as many"
            )
        if self.colours and len(self.colours) != len(self.names):
            raise SettingsError(
                f"{len(self.names)} names, but {len(self.colours)} colours: give as many, or none"
            )
        if self.category_ids and len(set(self.category_ids)) != len(self.names):
            raise SettingsError(
                f"{len(self.names)} names, but {len(set(self.category_ids))} different category "
                "ids: give one per name, or none"
            )
        for colour in self.colours:
            if colour is not None and not is_colour(colour):
                raise SettingsError(f"{colour} is no colour: give red, green and blue, 0 to 255")

    def __len__(self) -> int:
        return len(self.names)

    def colour(self, label_id: int) -> Colour | None:
        """Give what drawings paint a class with; None where they choose."""
        return self.colours[label_id] if self.colours else None

    def category_id(self, label_id: int) -> int:
        """Return the dataset's own id of a class; the label id where that is unknown."""
        return self.category_ids[label_id] if self.category_ids else label_id

    @property
    def things(self) -> tuple[int, ...]:
        """Label ids of the classes whose objects are counted."""
        return tuple(index for index, thing in enumerate(self.is_thing) if thing)


def are_with_background(labels: LabelSet, things: LabelSet) -> bool:
    """Say whether `labels` are `things` and a stuff "background" after them.

    Lists of objects have it for what no object covers; networks of instances need not know it.
    """
    return labels == LabelSet((*things.names, "background"), (*things.is_thing, False))


UNNAMED = ("object", "background")
"""What a thing and the stuff around it are called where nobody named them."""


def mean_the_same(ours: LabelSet, theirs: LabelSet) -> bool:
    """Say whether label ids of two sets are of the same classes; `theirs` may be unnamed."""
    named_alike = theirs.names in (ours.names, UNNAMED)
    return named_alike and ours.is_thing == theirs.is_thing


def is_colour(colour: Sequence[int]) -> bool:
    """Say whether these are red, green and blue."""
    return len(colour) == 3 and all(0 <= value <= 255 for value in colour)


def parse_task(task: str) -> Task:
    """Give `task` as one of the three names.

    Raises:
        TaskError: It is none of them.
    """
    for known in TASKS:
        if isinstance(task, str) and task == known:
            return known
    raise TaskError(f"unknown task {task!r}: choose one of {', '.join(TASKS)}")


def widest(tasks: Sequence[Task]) -> Task:
    """Give the task that asks for the most: panoptic, else instance, else semantic."""
    return max(tasks, key=TASKS.index)
