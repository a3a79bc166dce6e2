"""Evaluation of models on labelled images."""

from collections.abc import Callable
from pathlib import Path

from unimask.checkpoints import Preprocessing
from unimask.config import Window
from unimask.datasets import Dataset, describe, open_dataset
from unimask.errors import SettingsError
from unimask.evaluation.answers import Answers, FromFiles, Predictions, predictions
from unimask.evaluation.page import write_page
from unimask.evaluation.scorers import MAX_DETECTIONS, Scorer, rule_of, scorer_for
from unimask.evaluation.watch import Watch, page_of
from unimask.formats.output_file import check_output_files, write_report
from unimask.inference import Dtype, Predictor, load

Progress = Callable[[int, int], None]
"""Function of the number of finished images and the number of all images."""


def evaluate(
    data: str | Path,
    model: str | Path | Predictor | None = None,
    *,
    results: str | Path | None = None,
    categories: str | None = None,
    task: str | None = None,
    split: str | None = "val",
    format: str | None = None,
    masks: str | None = None,
    window: Window = None,
    max_detections: int = MAX_DETECTIONS,
    boundaries: bool = False,
    ap: str | None = None,
    device: str = "auto",
    dtype: Dtype = "float32",
    preprocessing: Preprocessing = "authors",
    compile: bool = False,
    json: str | Path | None = None,
    page: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Score a model, or results of any program, on labelled images.

    Metrics are PQ, SQ, RQ for panoptic; mIoU, fwIoU, mACC, pACC for semantic; COCO's AP and AR, and
    StarDist's matched precision (AP_match) for instance. `unimask.evaluation.scorers` defines them.
    All except HD95 (pixels) are percentages; undefined ones are None.

    Args:
        data: Folder of the dataset.
        model: Predictor, or any model that `load` takes.
        results: Results to score instead of a model, as `open_results` takes them.
        categories: Numbering of `category_id` in results, "data" (the dataset's ids) or "labels"
            (label ids from 0); detected by default.
        task: Task to score; by default the model's most demanding one that the labels support, or
            that of the results.
        split: Split of the dataset; None for all images.
        format: Format of the labels as `open_dataset` takes it, for maps that are ambiguous.
        masks: Label maps to read, as `open_dataset` takes them.
        window: Values that become black and white when images are read, or "auto"; None uses the
            model's window.
        max_detections: Instance: number of highest-scoring detections that count per class and
            image.
        boundaries: Whether to score boundaries too: AP_boundary for instance; mBIoU, Dice, HD95 for
            semantic.
        ap: Instance: definition of average precision, "coco" or "cityscapes"; by default that of
            Cityscapes for Cityscapes as published, else that of COCO.
        device: Device of a model that is loaded here.
        dtype: Data type of its computation, as `load` takes it.
        preprocessing: Source of its pre-processing, "authors" or "hub", as `load` takes it.
        compile: Whether it is compiled, as `load` takes it.
        json: File to write the scores to.
        page: HTML file to write, with scores, curves, confusion matrix, best and worst images.
        overwrite: Whether `json` and `page` may replace files that unimask did not write.
        progress: Function that is called after each image.

    Returns:
        `{task, data, about, split, images, metrics, per_class, notes}`; "about" describes the
        dataset.

    Raises:
        DataError: Dataset, results or model cannot be read, or do not belong together.
        OutputError: A file cannot be written, or exists and was not written by unimask.
        SettingsError: There is neither a model nor results, or both; or the AP is unknown.
        TaskError: Model, results or labels do not support the task.

    Example:
        >>> import unimask
        >>> report = unimask.evaluate("cells", "nuclei", task="panoptic")  # doctest: +SKIP
        >>> print(report["metrics"]["PQ"])  # doctest: +SKIP
    """
    if model is not None and results is not None:
        raise SettingsError("a model and results: score one of them at a time")
    if results is None and categories is not None:
        raise SettingsError("categories goes with results: a model knows its classes by name")
    check_output_files(json, page, overwrite=overwrite)
    answers: Answers
    if results is not None:
        dataset = open_dataset(data, split, format=format, masks=masks)
        answers = FromFiles(results, dataset, task, categories)
    else:
        predictor = predictor_for(model, device, dtype, preprocessing, compile)
        answers = predictions(predictor, data, split, task, format, window, masks)
    watch = None if page is None else Watch(answers.labels, answers.task)
    scorer = scorer_for(
        answers.task,
        answers.labels,
        max_detections=max_detections,
        boundaries=boundaries,
        ap=rule_of(answers.dataset, ap),
    )
    scores = score(answers, scorer, watch, progress)
    report = {
        "task": scores["task"],
        "data": answers.dataset.name,
        "about": describe(answers.dataset),
        "split": split,
        **scores,
    }
    if json is not None:
        write_report(json, report, overwrite=overwrite)
    if page is not None and watch is not None:
        write_page(Path(page), page_of(answers, scorer, watch, split), overwrite=overwrite)
    return report


def predictor_for(
    model: str | Path | Predictor | None,
    device: str,
    dtype: Dtype,
    preprocessing: Preprocessing,
    compile: bool,
) -> Predictor:
    """Return the model to score, loaded if necessary.

    Raises:
        SettingsError: No model was passed.
    """
    if model is None:
        raise SettingsError("nothing to score: give a model, or results")
    if isinstance(model, Predictor):
        return model
    return load(model, device=device, dtype=dtype, preprocessing=preprocessing, compile=compile)


def evaluate_predictor(
    predictor: Predictor,
    dataset: Dataset,
    *,
    task: str | None = None,
    least_area: int = 0,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Score a predictor on an open dataset.

    Args:
        predictor: Model to score.
        dataset: Dataset with labels.
        task: Task to score; by default the model's most demanding one that the labels support.
        least_area: Panoptic: true segments with fewer pixels count as void.
        progress: Function that is called after each image.

    Returns:
        Report with the keys `{task, images, metrics, per_class, notes}`.
    """
    answers = Predictions(predictor, dataset, task)
    scorer = scorer_for(
        answers.task, answers.labels, least_area=least_area, ap=rule_of(answers.dataset)
    )
    return score(answers, scorer, None, progress)


def score(
    answers: Answers, scorer: Scorer, watch: Watch | None, progress: Progress | None
) -> dict[str, object]:
    """Score the results of all images."""
    dataset = answers.dataset
    for index in range(len(dataset)):
        sample = dataset[index]
        result = answers.of(index, sample)
        scorer.add(result, sample)
        if watch is not None:
            watch.add(result, sample)
        if progress is not None:
            progress(index + 1, len(dataset))
    return {
        "task": answers.task,
        "images": len(dataset),
        "metrics": scorer.metrics(),
        "per_class": scorer.per_class(),
        "notes": [*answers.notes(), *scorer.notes()],
    }
