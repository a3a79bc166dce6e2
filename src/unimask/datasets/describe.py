"""Describe a dataset in one line, and check the tasks that it supports."""

from collections.abc import Sequence

from unimask.datasets.interface import Dataset, dataset_info
from unimask.errors import DataError, TaskError
from unimask.labels import LabelSet, Task, have_same_classes, most_demanding_task

MAX_LISTED_CLASSES = 6
"""Maximum number of classes whose names are listed."""


def describe(dataset: Dataset) -> str:
    """Describe a dataset: format, images, classes, things and stuff, notes on ignored pixels."""
    info = dataset_info(dataset)
    notes = f" ({info.notes})" if info.notes else ""
    images = f"{len(dataset)} images"
    return f"{dataset.name}: {info.format}, {images}, {describe_classes(dataset.labels)}{notes}"


def describe_classes(labels: LabelSet) -> str:
    """Describe the number and kinds of the classes, and the first names."""
    things, count = len(labels.things), len(labels)
    names = ", ".join(labels.names[:MAX_LISTED_CLASSES]) + (
        ", ..." if count > MAX_LISTED_CLASSES else ""
    )
    kinds = f"{things} things, {count - things} stuff" if things else "all stuff"
    return f"{count} classes, {kinds}: {names}"


def widest_task(dataset: Dataset) -> Task:
    """Return the task of a dataset that requires the most of a network."""
    return most_demanding_task(dataset_info(dataset).tasks)


def check_tasks(dataset: Dataset, tasks: Sequence[Task]) -> None:
    """Raise if the labels do not support a task.

    Raises:
        TaskError: A task is not supported; the message states the labels that the task requires.
    """
    info = dataset_info(dataset)
    for task in tasks:
        if task not in info.tasks:
            raise TaskError(
                f"{dataset.name} has {info.format}, for {', '.join(info.tasks)} alone: {task} "
                "needs objects one by one, such as instance ids or COCO annotations"
            )


def check_classes(train: Dataset, val: Dataset) -> None:
    """Raise if the label ids of two splits stand for different classes.

    Raises:
        DataError: The classes differ; the message names them.
    """
    if not have_same_classes(train.labels, val.labels):
        text = describe_difference(train.labels, val.labels, "train", "val")
        raise DataError(
            f"train and val of {train.name} differ in their classes: {text}; list the same classes "
            "in both, in one order"
        )


def describe_difference(ours: LabelSet, theirs: LabelSet, here: str, there: str) -> str:
    """Describe how two label sets differ.

    Args:
        ours: First label set.
        theirs: Second label set.
        here: Name of the first label set's dataset.
        there: Name of the second label set's dataset.
    """
    parts = []
    for labels, others, dataset_name in ((ours, theirs, here), (theirs, ours, there)):
        only_here = [name for name in labels.names if name not in others.names]
        if only_here:
            more = (
                f" and {len(only_here) - MAX_LISTED_CLASSES} more"
                if len(only_here) > MAX_LISTED_CLASSES
                else ""
            )
            parts.append(
                f"only {dataset_name} has {', '.join(only_here[:MAX_LISTED_CLASSES])}{more}"
            )
    kinds = dict(zip(theirs.names, theirs.is_thing, strict=True))
    for number, name in enumerate(ours.names):
        if kinds.get(name, ours.is_thing[number]) != ours.is_thing[number]:
            kind, other = ("thing", "stuff") if ours.is_thing[number] else ("stuff", "thing")
            parts.append(f"{name} is {kind} in {here}, {other} in {there}")
            break
    common = [[n for n in a.names if n in b.names] for a, b in ((ours, theirs), (theirs, ours))]
    if common[0] != common[1]:
        name = next(a for a, b in zip(*common, strict=False) if a != b)
        places = ours.names.index(name), theirs.names.index(name)
        parts.append(f"{name} is class {places[0]} in {here}, {places[1]} in {there}")
    return "; ".join(parts)
