"""Where results for labelled pictures come from: a model that predicts them, or files."""

from pathlib import Path
from typing import Protocol

from unimask.config import Window
from unimask.datasets import Dataset, Sample, check_tasks, open_dataset
from unimask.datasets.found import about_of
from unimask.datasets.windows import use_window
from unimask.evaluation.classes import classes_in_common
from unimask.evaluation.result_files import open_results
from unimask.inference import Predictor
from unimask.labels import LabelSet, Task, widest
from unimask.processing.intensities import EIGHT_BITS
from unimask.results import Result


class Answers(Protocol):
    """Somebody's results for the pictures of a dataset.

    Attributes:
        name: Who that is.
        dataset: The pictures.
        task: What was asked.
        labels: The classes, as the dataset numbers them.
    """

    name: str
    dataset: Dataset
    task: Task
    labels: LabelSet

    def of(self, index: int, sample: Sample) -> Result:
        """Give the result for a picture."""
        ...

    def notes(self) -> list[str]:
        """Say what a reader of scores should know."""
        ...


class Predictions:
    """What a model predicts.

    Args:
        predictor: The model.
        dataset: The pictures.
        task: By default the model's widest that the labels can judge.

    Raises:
        DataError: The classes of model and data differ.
        TaskError: The model cannot do the task, or the labels cannot judge it.
    """

    def __init__(self, predictor: Predictor, dataset: Dataset, task: str | None) -> None:
        self.predictor, self.dataset, self.name = predictor, dataset, predictor.name
        self.task: Task = predictor.task_of(task or widest_common(predictor, dataset))
        check_tasks(dataset, (self.task,))
        self.classes = classes_in_common(predictor, dataset, self.task)
        self.labels = self.classes.labels
        self.threshold = 0.0 if self.task == "instance" else None  # curves need all scores
        self.asked = self.empty = 0

    def of(self, index: int, sample: Sample) -> Result:
        """Predict a picture."""
        result = self.predictor.predict(
            sample.image, self.task, threshold=self.threshold, window=EIGHT_BITS
        )
        self.asked += 1
        self.empty += not result.segments
        return self.classes.renumber(result)

    def notes(self) -> list[str]:
        """Say which of the model's classes the data lacks, and if nothing was ever found."""
        notes = self.classes.notes()
        if self.task == "panoptic" and 0 < self.asked == self.empty:
            least = self.predictor.checkpoint.postprocessing.object_threshold
            notes.append(
                f"nothing was found: queries less sure of their class than {least:g} are left out, "
                "and masks that others cover; train longer, or see with `unimask predict "
                "--threshold 0.2` what it would be"
            )
        return notes


class FromFiles:
    """What some program has written.

    Args:
        results: Whatever `open_results` takes.
        dataset: The pictures.
        task: What they answer, where their kind does not tell.
        categories: As `open_results` takes it.

    Raises:
        DataError: The results cannot be read, or are of other pictures or classes.
        TaskError: They answer another task.
    """

    def __init__(
        self,
        results: str | Path,
        dataset: Dataset,
        task: str | None,
        categories: str | None = None,
    ) -> None:
        self.source = open_results(results, dataset, task, categories)
        self.dataset = dataset
        self.name, self.labels = Path(results).name, dataset.labels
        self.task: Task = self.source.task
        check_tasks(dataset, (self.task,))

    def of(self, index: int, sample: Sample) -> Result:
        """Read the result for a picture."""
        return self.source.of(index, sample.size)

    def notes(self) -> list[str]:
        """Say which results or pictures have no partner."""
        return self.source.notes()


def predictions(
    predictor: Predictor,
    data: str | Path,
    split: str | None,
    task: str | None,
    format: str | None = None,
    window: Window = None,
    masks: str | None = None,
) -> Predictions:
    """Let a model answer for a dataset, opened with the channels and the window that it reads."""
    dataset = open_dataset(data, split, channels=predictor.channels, format=format, masks=masks)
    use_window(dataset, window or predictor.checkpoint.preprocessing.window)
    return Predictions(predictor, dataset, task)


def widest_common(predictor: Predictor, dataset: Dataset) -> Task | None:
    """Give the widest task that the model does and the labels judge; None for none."""
    tasks: list[Task] = [task for task in predictor.tasks if task in about_of(dataset).tasks]
    return widest(tasks) if tasks else None


def are_results(path: str | Path | Predictor) -> bool:
    """Say whether a path holds results rather than a model: a JSON, or a folder without a model."""
    if isinstance(path, Predictor):
        return False
    place = Path(path)
    if place.is_dir():
        return not any((place / name).exists() for name in ("config.json", "weights"))
    return place.is_file() and place.suffix.lower() == ".json"
