"""Which classes of a model are which of a dataset."""

from dataclasses import dataclass, replace

from unimask.datasets import Dataset
from unimask.errors import DataError
from unimask.inference import Predictor
from unimask.labels import LabelSet, Task, mean_the_same
from unimask.results import Result


@dataclass(frozen=True)
class Classes:
    """The classes that are scored.

    Attributes:
        labels: As the data numbers them.
        numbers: The label id in them of each class of the model, None where it is no such class;
            None for models that number the classes as the data does.
        beyond: Names of the model's classes that are none of the data's.
    """

    labels: LabelSet
    numbers: tuple[int | None, ...] | None = None
    beyond: tuple[str, ...] = ()

    def renumber(self, result: Result) -> Result:
        """Give a result of the model with the data's label ids; other classes are left out."""
        if self.numbers is None:
            return result
        segments = []
        for segment in result.segments:
            label_id = self.numbers[segment.label_id]
            if label_id is not None:
                kind = self.labels.is_thing[label_id]
                segments.append(replace(segment, label_id=label_id, is_thing=kind))
        return replace(result, labels=self.labels, segments=tuple(segments))

    def notes(self) -> list[str]:
        """Say what is left out."""
        if not self.beyond:
            return []
        count, few = len(self.beyond), ", ".join(self.beyond[:4])
        return [
            f"{count} of the model's classes are none of the data's, and are left out: {few}"
            f"{', ...' if count > 4 else ''}"
        ]


def classes_in_common(predictor: Predictor, dataset: Dataset, task: Task) -> Classes:
    """Match the classes of model and data: as they are numbered, else by their names.

    A dataset that names its classes "object" and "background" only because nobody named them
    takes the model's names. Where instances are asked for, only the data's things are judged: the
    model must know all of them, and may know more. Else both must have the same classes; for
    panoptic the same of them must be things.

    Raises:
        DataError: They have not.
    """
    return match_classes(predictor.name, predictor.checkpoint.labels, dataset.labels, task)


def match_classes(name: str, ours: LabelSet, theirs: LabelSet, task: Task) -> Classes:
    """Match the classes of results with those of data, as `classes_in_common` describes.

    Args:
        name: Whose results they are, for messages.
        ours: Classes of the results.
        theirs: Classes of the data.
        task: What is asked.

    Raises:
        DataError: They cannot be matched.
    """
    if mean_the_same(ours, theirs):
        return Classes(ours)
    judged = theirs.things if task == "instance" else range(len(theirs))
    places = {theirs.names[label]: label for label in judged}
    kinds = dict(zip(ours.names, ours.is_thing, strict=True))
    missing = [
        known
        for known, label in places.items()
        if known not in kinds or (task == "panoptic" and kinds[known] != theirs.is_thing[label])
    ]
    beyond = tuple(known for known in ours.names if known not in places)
    if missing or (beyond and task != "instance"):
        raise DataError(difference(name, ours, theirs, missing, beyond))
    return Classes(theirs, tuple(map(places.get, ours.names)), beyond)


def difference(
    model: str, ours: LabelSet, theirs: LabelSet, missing: list[str], beyond: tuple[str, ...]
) -> str:
    """Say in which classes a model and a dataset differ."""
    parts = [
        f"only {who} {'has' if who == 'the data' else 'knows'} {', '.join(names[:4])}"
        + (", ..." if len(names) > 4 else "")
        for who, names in (("the data", missing), (model, list(beyond)))
        if names
    ]
    return (
        f"{model} knows {len(ours)} classes, the data has {len(theirs)}: {'; '.join(parts)}. "
        "They must be the same"
    )
