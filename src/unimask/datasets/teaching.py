"""Whether labels teach anything for a task: a network that never sees an object finds none."""

from collections.abc import Sequence

from unimask.datasets.found import Dataset, about_of, count_things
from unimask.errors import DataError
from unimask.labels import LabelSet, Task

NO_OBJECTS = "no object of a thing class has a pixel, crowds left out"
ONE_CLASS = "all labelled pixels are of one class"


def why_nothing(task: Task, *, things: int, classes: int) -> str:
    """Return why labels teach nothing for a task; empty if they teach something.

    Args:
        task: What is to be learned.
        things: Objects of thing classes that have a pixel, crowds left out.
        classes: Classes that have a pixel.
    """
    if task == "instance" or classes < 1:
        return "" if things else NO_OBJECTS
    if classes < 2 and not (task == "panoptic" and things):
        return ONE_CLASS
    return ""


def check_teaching(dataset: Dataset, tasks: Sequence[Task] | None = None) -> None:
    """Refuse a dataset whose labels say, without a look at images, that they teach nothing.

    Args:
        dataset: What is to be learned from.
        tasks: What is to be learned, all of it; None for any one of what the labels are for.

    Raises:
        DataError: There is nothing to learn.
    """
    counts = count_things(dataset)
    if counts is None or counts.sum():
        return
    stuff = count_stuff(dataset.labels)
    wanted: tuple[Task, ...] = about_of(dataset).tasks if tasks is None else tuple(tasks)
    reasons = {task: why_nothing(task, things=0, classes=stuff) for task in wanted}
    barren: list[Task] = [task for task in wanted if reasons[task]]
    if barren and (tasks is not None or len(barren) == len(wanted)):
        raise DataError(teaches_nothing(dataset.name, barren, reasons[barren[0]]))


def count_stuff(labels: LabelSet) -> int:
    """Return the number of stuff classes."""
    return len(labels) - len(labels.things)


def teaches_nothing(name: str, tasks: Sequence[Task], reason: str) -> str:
    """Return what is said of labels that teach nothing for some tasks."""
    return (
        f"{name} teaches nothing for {', '.join(tasks)}: {reason}; label objects, or check --format"
    )
