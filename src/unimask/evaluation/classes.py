"""Matching of a model's classes with those of a dataset."""

from dataclasses import dataclass, replace

from unimask.datasets import Dataset
from unimask.errors import DataError
from unimask.inference import Predictor
from unimask.labels import (
    BACKGROUND,
    LabelSet,
    Task,
    have_same_classes,
    is_background,
    is_unused,
)
from unimask.results import Result


@dataclass(frozen=True)
class ClassMapping:
    """The classes that are scored.

    Attributes:
        labels: Label set of the dataset.
        label_ids: For each class of the model, its label id in `labels`, or None if `labels` lacks
            it; None as a whole if both use the same label ids.
        ignored_names: Names of the model's classes that the dataset lacks, without unused ones.
        takes_names: Whether the dataset has no class names and takes the model's.
    """

    labels: LabelSet
    label_ids: tuple[int | None, ...] | None = None
    ignored_names: tuple[str, ...] = ()
    takes_names: bool = False

    def map_result(self, result: Result) -> Result:
        """Convert a result of the model to the dataset's label ids; drop other classes."""
        if self.label_ids is None:
            return result
        segments = []
        for segment in result.segments:
            label_id = self.label_ids[segment.label_id]
            if label_id is not None:
                is_thing = self.labels.is_thing[label_id]
                segments.append(replace(segment, label_id=label_id, is_thing=is_thing))
        return replace(result, labels=self.labels, segments=tuple(segments))

    def notes(self) -> list[str]:
        """Return how the classes were matched, and which are ignored."""
        if self.takes_names:
            return ["the dataset has no class names: its classes take the model's, in order"]
        if not self.ignored_names:
            return []
        count, names = len(self.ignored_names), ", ".join(self.ignored_names[:4])
        return [
            f"{count} of the model's classes are not in the dataset and are ignored: {names}"
            f"{', ...' if count > 4 else ''}"
        ]


def match_model_classes(predictor: Predictor, dataset: Dataset, task: Task) -> ClassMapping:
    """Match the classes of model and dataset: by equal label ids, else by names.

    A dataset without class names takes those of the model, in order, if it has as many. For
    instance segmentation only the dataset's things are scored: the model must have all of them and
    may have more. For other tasks both must have the same classes, and for panoptic the same
    things. Outputs of the model that no class uses do not count.

    Raises:
        DataError: The classes do not match.
    """
    return match_classes(predictor.name, predictor.description.labels, dataset.labels, task)


def match_classes(name: str, ours: LabelSet, theirs: LabelSet, task: Task) -> ClassMapping:
    """Match the classes of results with those of a dataset, as `match_model_classes` describes.

    Args:
        name: Name of the model or of the results, for messages.
        ours: Label set of the results.
        theirs: Label set of the dataset.
        task: Task to score.

    Raises:
        DataError: The classes do not match.
    """
    if have_same_classes(ours, theirs):
        return ClassMapping(ours)
    if ours.is_thing == theirs.is_thing and are_generated(
        theirs.names, is_background(ours.names[0])
    ):
        return ClassMapping(ours, takes_names=True)
    scored = theirs.things if task == "instance" else range(len(theirs))
    label_ids = {theirs.names[label]: label for label in scored}
    is_thing = dict(zip(ours.names, ours.is_thing, strict=True))
    missing = [
        class_name
        for class_name, label in label_ids.items()
        if class_name not in is_thing
        or (task == "panoptic" and is_thing[class_name] != theirs.is_thing[label])
    ]
    extra = tuple(known for known in ours.names if known not in label_ids and not is_unused(known))
    if missing or (extra and task != "instance"):
        raise DataError(describe_difference(name, ours, theirs, missing, extra))
    return ClassMapping(theirs, tuple(map(label_ids.get, ours.names)), extra)


def are_generated(names: tuple[str, ...], has_background: bool) -> bool:
    """Return whether a dataset made up the names of its classes, which are values without a gap.

    They are "class 0", "class 1" and so on; where the first class is the background, also
    "background", "1", "2" and so on, or "background" and "foreground".

    Args:
        names: Names of the dataset's classes.
        has_background: Whether the first class of the model is the background.
    """
    numbers = range(len(names))
    if names == tuple(f"class {number}" for number in numbers):
        return True
    foregrounds = (tuple(map(str, numbers[1:])), ("foreground",))
    return has_background and names[0] == BACKGROUND and names[1:] in foregrounds


def describe_difference(
    model: str, ours: LabelSet, theirs: LabelSet, missing: list[str], extra: tuple[str, ...]
) -> str:
    """Describe in which classes a model and a dataset differ."""
    parts = [
        f"only {who} {'has' if who == 'the data' else 'knows'} {', '.join(names[:4])}"
        + (", ..." if len(names) > 4 else "")
        for who, names in (("the data", missing), (model, list(extra)))
        if names
    ]
    return (
        f"{model} knows {len(ours)} classes, the data has {len(theirs)}: {'; '.join(parts)}. "
        "They must be the same; names of classes without a table can be passed by --names"
    )
