"""Sources of results for labelled images: a model that predicts them, or files."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from unimask.config import PostprocessingConfig, Window
from unimask.datasets import Dataset, Sample, check_tasks
from unimask.datasets.folder import DatasetFolder
from unimask.datasets.interface import DatasetOptions, dataset_info
from unimask.datasets.windows import set_window
from unimask.evaluation.classes import match_model_classes
from unimask.evaluation.result_files import open_results
from unimask.inference import Predictor
from unimask.inference.augmentation import Augmentations
from unimask.labels import LabelSet, Task, most_demanding_task
from unimask.processing.intensities import UINT8_WINDOW
from unimask.results import Result


class ResultProvider(Protocol):
    """Results for the images of a dataset.

    Attributes:
        name: Name of the model or of the files.
        dataset: Dataset with the ground truth.
        task: Task of the results.
        labels: Label set in which results and ground truth are scored.
        min_score: Minimum score of an instance for metrics that do not rank instances.
    """

    name: str
    dataset: Dataset
    task: Task
    labels: LabelSet
    min_score: float

    def result(self, index: int, sample: Sample) -> Result:
        """Return the result for an image."""
        ...

    def notes(self) -> list[str]:
        """Return remarks on the results, to be shown with the scores."""
        ...


class Predictions:
    """Predictions of a model.

    `tta` may be set to predict from several views of each image; see `Predictor.predict`.

    Args:
        predictor: Model that predicts.
        dataset: Dataset with the ground truth.
        task: Task to predict; by default the model's most demanding task that the labels support.
        retain_confidence: Whether results retain what `Result.confidence` needs.

    Raises:
        DataError: Model and dataset have different classes.
        TaskError: The model or the labels do not support the task.
    """

    def __init__(
        self,
        predictor: Predictor,
        dataset: Dataset,
        task: str | None,
        *,
        retain_confidence: bool = False,
    ) -> None:
        self.predictor, self.dataset, self.name = predictor, dataset, predictor.name
        self.retain_confidence = retain_confidence
        self.tta: bool | Augmentations = False
        self.task: Task = predictor.resolve_task(task or widest_common_task(predictor, dataset))
        check_tasks(dataset, (self.task,))
        self.classes = match_model_classes(predictor, dataset, self.task)
        self.labels = self.classes.labels
        # Precision-recall curves need all scores.
        self.threshold = 0.0 if self.task == "instance" else None
        self.min_score = predictor.description.postprocessing.instance_threshold
        self.num_images = self.num_empty = 0

    def result(self, index: int, sample: Sample) -> Result:
        """Predict an image."""
        result = self.predictor.predict(
            sample.image,
            self.task,
            threshold=self.threshold,
            window=UINT8_WINDOW,
            retain_confidence=self.retain_confidence,
            tta=self.tta,
        )
        self.num_images += 1
        self.num_empty += not result.segments
        return self.classes.map_result(result)

    def notes(self) -> list[str]:
        """Return which classes of the model the data lacks, and whether no image has a segment."""
        notes = self.classes.notes()
        if self.task == "panoptic" and 0 < self.num_images == self.num_empty:
            object_threshold = self.predictor.description.postprocessing.object_threshold
            notes.append(
                "the model predicts no segments: queries with a class score below "
                f"{object_threshold:g} and masks that others cover are dropped; train longer, or "
                "look at the results of `unimask predict --threshold 0.2`"
            )
        return notes


class FileResults:
    """Results that were read from files.

    Args:
        results: Results as `open_results` takes them.
        dataset: Dataset with the ground truth.
        task: Task of the results, where their format does not define it.
        categories: Numbering of categories, as `open_results` takes it.

    Raises:
        DataError: The results cannot be read, or belong to other images or classes.
        TaskError: The results belong to another task.
    """

    def __init__(
        self,
        results: str | Path,
        dataset: Dataset,
        task: str | None,
        categories: str | None = None,
    ) -> None:
        self.source = open_results(results, dataset, task, categories)
        self.dataset, self.min_score = dataset, PostprocessingConfig().instance_threshold
        self.name, self.labels = Path(results).name, dataset.labels
        self.task: Task = self.source.task
        check_tasks(dataset, (self.task,))

    def result(self, index: int, sample: Sample) -> Result:
        """Read the result for an image."""
        return self.source.result(index, sample.size)

    def notes(self) -> list[str]:
        """Return how many results or images have no counterpart."""
        return self.source.notes()


def open_predictions(
    predictor: Predictor,
    data: str | Path,
    split: str | None,
    task: str | None,
    options: DatasetOptions | None = None,
    window: Window = None,
    *,
    retain_confidence: bool = False,
) -> Predictions:
    """Open a dataset with the model's channels, bands and window; return the model's predictions.

    Args:
        predictor: The model.
        data: Folder of the dataset.
        split: Split of the dataset.
        task: Task to predict.
        options: Options by which the dataset is opened; those of the model complete them.
        window: Values that become black and white when images are read.
        retain_confidence: Whether results retain what `Result.confidence` needs.
    """
    rules, options = predictor.description.preprocessing, options or DatasetOptions()
    chip = rules.shortest_edge if rules.keep_scale else None
    options = replace(
        options,
        channels=predictor.channels,
        bands=options.bands or rules.bands,
        chip=options.chip or chip,
        slices=rules.slices,
    )
    dataset = DatasetFolder(Path(data), options).open(split)
    set_window(dataset, window or rules.window)
    return Predictions(predictor, dataset, task, retain_confidence=retain_confidence)


def widest_common_task(predictor: Predictor, dataset: Dataset) -> Task | None:
    """Return the most demanding task that model and labels support; None if there is none."""
    tasks: list[Task] = [task for task in predictor.tasks if task in dataset_info(dataset).tasks]
    return most_demanding_task(tasks) if tasks else None


def is_result_path(path: str | Path | Predictor) -> bool:
    """Return whether a path holds results: a JSON file, or a folder without a model."""
    if isinstance(path, Predictor):
        return False
    folder = Path(path)
    if folder.is_dir():
        return not any((folder / name).exists() for name in ("config.json", "weights"))
    return folder.is_file() and folder.suffix.lower() == ".json"
