"""A dataset in one line, and what can be learned from it."""

from collections.abc import Sequence

from unimask.datasets.found import Dataset, about_of
from unimask.errors import TaskError
from unimask.labels import LabelSet, Task, widest

NAMED = 6
"""Classes whose names are written."""


def describe(dataset: Dataset) -> str:
    """Say what was found: format, pictures, classes, things and stuff, what is ignored."""
    about = about_of(dataset)
    told = f" ({about.told})" if about.told else ""
    pictures = f"{len(dataset)} pictures"
    return f"{dataset.name}: {about.format}, {pictures}, {describe_classes(dataset.labels)}{told}"


def describe_classes(labels: LabelSet) -> str:
    """Say how many classes there are of which kind, and the first names."""
    things, count = len(labels.things), len(labels)
    names = ", ".join(labels.names[:NAMED]) + (", ..." if count > NAMED else "")
    kinds = f"{things} things, {count - things} stuff" if things else "all stuff"
    return f"{count} classes, {kinds}: {names}"


def widest_task(dataset: Dataset) -> Task:
    """Give the task of a dataset that asks for the most."""
    return widest(about_of(dataset).tasks)


def check_tasks(dataset: Dataset, tasks: Sequence[Task]) -> None:
    """Refuse tasks that labels cannot teach or judge.

    Raises:
        TaskError: There is one; the message says what labels it would need.
    """
    about = about_of(dataset)
    for task in tasks:
        if task not in about.tasks:
            raise TaskError(
                f"{dataset.name} has {about.format}, for {', '.join(about.tasks)} alone: {task} "
                "needs objects one by one, such as instance ids or COCO annotations"
            )
