"""Predict labelled pictures and score them, picture by picture."""

import json as json_format
from collections.abc import Callable
from functools import partial
from pathlib import Path

from unimask.checkpoints import Preprocessing
from unimask.datasets import Dataset, Sample, open_dataset
from unimask.errors import DataError, SettingsError
from unimask.evaluation.result_files import open_results
from unimask.evaluation.scorers import MAX_DETECTIONS, Scorer, scorer_for
from unimask.formats.atomic import atomic_path
from unimask.inference import Dtype, Predictor, load
from unimask.labels import LabelSet
from unimask.results import Result

Progress = Callable[[int, int], None]
"""Called with the pictures done and the pictures in all."""


def evaluate(
    data: str | Path,
    model: str | Path | Predictor | None = None,
    *,
    results: str | Path | None = None,
    task: str | None = None,
    split: str | None = "val",
    max_detections: int = MAX_DETECTIONS,
    boundaries: bool = False,
    device: str = "auto",
    dtype: Dtype = "float32",
    preprocessing: Preprocessing = "authors",
    json: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Score a model on labelled pictures, or results for them that any program wrote.

    Panoptic gives PQ, SQ, RQ; semantic mIoU, fwIoU, mACC, pACC; instance COCO's AP and AR, and
    matched precision as StarDist has it (AP_match): `unimask.evaluation.scorers` says what each
    counts. All but HD95 (pixels) are percentages; what is not defined is None.

    Args:
        data: Folder of the dataset.
        model: A predictor, or whatever `load` takes.
        results: In place of a model, whatever `open_results` takes.
        task: The model's widest by default; of results what they answer.
        split: Part of the dataset; None for all pictures.
        max_detections: Instance: the surest of a class in a picture, which alone count.
        boundaries: Score outlines too: instance AP_boundary; semantic mBIoU, Dice, HD95.
        device: Where a model that is loaded here runs.
        dtype: What it computes in, as `load` takes it.
        preprocessing: "authors" or "hub", as `load` takes it.
        json: File to write the scores to.
        progress: Told after each picture.

    Returns:
        `{task, data, split, images, metrics, per_class, notes}`.

    Raises:
        DataError: Dataset, results or model cannot be read, or do not belong together.
        SettingsError: There is neither a model nor results, or both.
        TaskError: The model cannot do the task, or the results answer another.
    """
    if model is not None and results is not None:
        raise SettingsError("a model and results: score one of them at a time")
    if results is not None:
        dataset, scored = open_dataset(data, split), partial(evaluate_results, results)
    else:
        predictor = predictor_for(model, device, dtype, preprocessing)
        dataset = open_dataset(data, split, channels=predictor.channels)
        scored = partial(evaluate_predictor, predictor)
    limits = {"max_detections": max_detections, "boundaries": boundaries}
    scores = scored(dataset, task=task, progress=progress, **limits)
    report = {"task": scores["task"], "data": dataset.name, "split": split, **scores}
    if json is not None:
        write_report(report, Path(json))
    return report


def write_report(report: dict[str, object], path: Path) -> None:
    """Write a report as JSON."""
    with atomic_path(path) as file:
        file.write_text(json_format.dumps(report, indent=2) + "\n")


def predictor_for(
    model: str | Path | Predictor | None,
    device: str,
    dtype: Dtype,
    preprocessing: Preprocessing,
) -> Predictor:
    """Give the model that is to be scored.

    Raises:
        SettingsError: There is none.
    """
    if model is None:
        raise SettingsError("nothing to score: give a model, or results")
    if isinstance(model, Predictor):
        return model
    return load(model, device=device, dtype=dtype, preprocessing=preprocessing)


def evaluate_predictor(
    predictor: Predictor,
    dataset: Dataset,
    *,
    task: str | None = None,
    least_area: int = 0,
    max_detections: int = MAX_DETECTIONS,
    boundaries: bool = False,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Score a predictor on an open dataset.

    Args:
        predictor: The model.
        dataset: Labelled pictures.
        task: The model's widest by default.
        least_area: Panoptic: true segments with fewer pixels count as void.
        max_detections: Instance: the surest of a class in a picture, which alone count.
        boundaries: Score outlines too: instance AP_boundary; semantic mBIoU, Dice, HD95.
        progress: Told after each picture.

    Returns:
        `{task, images, metrics, per_class, notes}`.
    """
    chosen = predictor.task_of(task)
    labels = common_labels(predictor, dataset)
    scorer = scorer_for(
        chosen,
        labels,
        least_area=least_area,
        max_detections=max_detections,
        boundaries=boundaries,
    )
    threshold = 0.0 if chosen == "instance" else None  # curves need all scores

    def predict(index: int, sample: Sample) -> Result:
        return predictor.predict(sample.image, chosen, threshold=threshold)

    return {"task": chosen, **score(dataset, predict, scorer, progress)}


def evaluate_results(
    results: str | Path,
    dataset: Dataset,
    *,
    task: str | None = None,
    max_detections: int = MAX_DETECTIONS,
    boundaries: bool = False,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Score results that any program wrote on an open dataset.

    Args:
        results: A file or a folder; see `open_results`.
        dataset: Labelled pictures.
        task: What the results answer, where their kind does not tell.
        max_detections: Instance: the surest of a class in a picture, which alone count.
        boundaries: Score outlines too: instance AP_boundary; semantic mBIoU, Dice, HD95.
        progress: Told after each picture.

    Returns:
        `{task, images, metrics, per_class, notes}`.

    Raises:
        DataError: The results cannot be read, or are of other pictures or classes.
        TaskError: They answer another task.
    """
    source = open_results(results, dataset, task)
    scorer = scorer_for(
        source.task, dataset.labels, max_detections=max_detections, boundaries=boundaries
    )

    def read(index: int, sample: Sample) -> Result:
        return source.of(index, sample.size)

    report = score(dataset, read, scorer, progress)
    return {"task": source.task, **report, "notes": [*source.notes(), *scorer.notes()]}


def score(
    dataset: Dataset,
    result_of: Callable[[int, Sample], Result],
    scorer: Scorer,
    progress: Progress | None,
) -> dict[str, object]:
    """Score what `result_of` gives for each picture."""
    for index in range(len(dataset)):
        sample = dataset[index]
        scorer.add(result_of(index, sample), sample)
        if progress is not None:
            progress(index + 1, len(dataset))
    return {
        "images": len(dataset),
        "metrics": scorer.metrics(),
        "per_class": scorer.per_class(),
        "notes": scorer.notes(),
    }


def common_labels(predictor: Predictor, dataset: Dataset) -> LabelSet:
    """Give the classes that model and data share.

    A dataset that names its classes "object" and "background" only because nobody named them
    takes the model's names.

    Raises:
        DataError: They differ in number, order or kind.
    """
    ours, theirs = predictor.checkpoint.labels, dataset.labels
    unnamed = theirs.names == ("object", "background")
    if ours.is_thing == theirs.is_thing and (unnamed or ours.names == theirs.names):
        return ours
    raise DataError(
        f"{predictor.name} knows {len(ours)} classes ({', '.join(ours.names[:4])}...), the data "
        f"has {len(theirs)} ({', '.join(theirs.names[:4])}...): they must be the same, in order"
    )
