"""Label sets: names, and which of them are things."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from unimask.errors import SettingsError, TaskError

Task = Literal["semantic", "instance", "panoptic"]
TASKS: tuple[Task, ...] = get_args(Task)

IGNORE_LABEL = 255
"""The pixel value that semantic maps reserve for "not labelled"."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Names of the classes, in the order of the network's outputs.

    Attributes:
        names: One name per class; the index is the label id, counted from 0.
        is_thing: Per class: True where objects are counted one by one, False for stuff.
    """

    names: tuple[str, ...]
    is_thing: tuple[bool, ...]

    def __post_init__(self) -> None:
        """Refuse sets that no network could be trained for.

        Raises:
            SettingsError: The set is empty, or the two tuples differ in length.
        """
        if not self.names:
            raise SettingsError("a label set needs at least one name")
        if len(self.names) != len(self.is_thing):
            raise SettingsError(
                f"{len(self.names)} names, but {len(self.is_thing)} thing flags: give as many"
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def things(self) -> tuple[int, ...]:
        """Label ids of the classes whose objects are counted."""
        return tuple(index for index, thing in enumerate(self.is_thing) if thing)


def parse_task(task: str) -> Task:
    """Give `task` as one of the three names.

    Raises:
        TaskError: It is none of them.
    """
    for known in TASKS:
        if task == known:
            return known
    raise TaskError(f"unknown task {task!r}: choose one of {', '.join(TASKS)}")


def widest(tasks: Sequence[Task]) -> Task:
    """Give the task that asks for the most: panoptic, else instance, else semantic."""
    return max(tasks, key=TASKS.index)
