"""Check whether labels contain anything to learn for a task."""

from collections.abc import Sequence

from unimask.datasets.interface import Dataset, count_things, dataset_info
from unimask.errors import DataError
from unimask.labels import LabelSet, Task

NO_OBJECTS = "no object of a thing class has a pixel, crowds left out"
ONE_CLASS = "all labelled pixels are of one class"


def missing_supervision(task: Task, *, things: int, classes: int) -> str:
    """Return why there is nothing to learn for a task; empty if there is something.

    Args:
        task: Task to learn.
        things: Number of objects of thing classes that have a pixel, without crowds.
        classes: Number of classes that have a pixel.
    """
    if task == "instance" or classes < 1:
        return "" if things else NO_OBJECTS
    if classes < 2 and not (task == "panoptic" and things):
        return ONE_CLASS
    return ""


def check_supervision(dataset: Dataset, tasks: Sequence[Task] | None = None) -> None:
    """Raise if the labels alone, without reading images, show that there is nothing to learn.

    Args:
        dataset: Training split.
        tasks: Tasks to learn, all of them; None for any of the tasks that the labels support.

    Raises:
        DataError: There is nothing to learn.
    """
    counts = count_things(dataset)
    if counts is None or counts.sum():
        return
    stuff = count_stuff(dataset.labels)
    checked: tuple[Task, ...] = dataset_info(dataset).tasks if tasks is None else tuple(tasks)
    reasons = {task: missing_supervision(task, things=0, classes=stuff) for task in checked}
    unsupervised: list[Task] = [task for task in checked if reasons[task]]
    if unsupervised and (tasks is not None or len(unsupervised) == len(checked)):
        raise DataError(
            no_supervision_message(dataset.name, unsupervised, reasons[unsupervised[0]])
        )


def count_stuff(labels: LabelSet) -> int:
    """Return the number of stuff classes."""
    return len(labels) - len(labels.things)


def no_supervision_message(name: str, tasks: Sequence[Task], reason: str) -> str:
    """Return the error message for labels without anything to learn for some tasks."""
    return (
        f"{name} has nothing to learn for {', '.join(tasks)}: {reason}; label objects, or "
        "check --format"
    )
