"""Matching of a model's classes with those of a dataset."""

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
        labels: Label set of the dataset.
        numbers: Label id in it of each class of the model, None for classes that it lacks; None as
            a whole if both use the same label ids.
        beyond: Names of the model's classes that the dataset lacks.
    """

    labels: LabelSet
    numbers: tuple[int | None, ...] | None = None
    beyond: tuple[str, ...] = ()

    def renumber(self, result: Result) -> Result:
        """Convert a result of the model to the dataset's label ids; drop other classes."""
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
        """Return which classes are ignored."""
        if not self.beyond:
            return []
        count, few = len(self.beyond), ", ".join(self.beyond[:4])
        return [
            f"{count} of the model's classes are none of the data's, and are left out: {few}"
            f"{', ...' if count > 4 else ''}"
        ]


def classes_in_common(predictor: Predictor, dataset: Dataset, task: Task) -> Classes:
    """Match the classes of model and dataset: by equal label ids, else by names.

    A dataset whose classes are "object" and "background", because it has no names, takes the
    model's names. For instance segmentation only the dataset's things are scored: the model must
    have all of them and may have more. For other tasks both must have the same classes, and for
    panoptic the same things.

    Raises:
        DataError: The classes do not match.
    """
    return match_classes(predictor.name, predictor.description.labels, dataset.labels, task)


def match_classes(name: str, ours: LabelSet, theirs: LabelSet, task: Task) -> Classes:
    """Match the classes of results with those of a dataset, as `classes_in_common` describes.

    Args:
        name: Name of the model or of the results, for messages.
        ours: Label set of the results.
        theirs: Label set of the dataset.
        task: Task to score.

    Raises:
        DataError: The classes do not match.
    """
    if mean_the_same(ours, theirs):
        return Classes(ours)
    scored = theirs.things if task == "instance" else range(len(theirs))
    places = {theirs.names[label]: label for label in scored}
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
    """Describe in which classes a model and a dataset differ."""
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
