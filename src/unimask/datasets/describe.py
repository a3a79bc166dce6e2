"""A dataset in one line, and what can be learned from it."""

from collections.abc import Sequence

from unimask.datasets.found import Dataset, about_of
from unimask.errors import DataError, TaskError
from unimask.labels import LabelSet, Task, mean_the_same, widest

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


def check_classes(train: Dataset, val: Dataset) -> None:
    """Refuse two splits whose label ids are of different classes.

    Raises:
        DataError: They are; the message names the classes.
    """
    if not mean_the_same(train.labels, val.labels):
        told = difference(train.labels, val.labels, "train", "val")
        raise DataError(
            f"train and val of {train.name} differ in their classes: {told}; list the same classes "
            "in both, in one order"
        )


def difference(ours: LabelSet, theirs: LabelSet, here: str, there: str) -> str:
    """Say in words how two label sets differ.

    Args:
        ours: The one.
        theirs: The other.
        here: Whose the one is.
        there: Whose the other is.
    """
    parts = []
    for labels, others, where in ((ours, theirs, here), (theirs, ours, there)):
        alone = [name for name in labels.names if name not in others.names]
        if alone:
            more = f" and {len(alone) - NAMED} more" if len(alone) > NAMED else ""
            parts.append(f"only {where} has {', '.join(alone[:NAMED])}{more}")
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
