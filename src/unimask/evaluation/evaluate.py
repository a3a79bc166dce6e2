"""Predict labelled pictures and score them, picture by picture."""

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
"""Called with the pictures done and the pictures in all."""


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
    """Score a model on labelled pictures, or results for them that any program wrote.

    Panoptic gives PQ, SQ, RQ; semantic mIoU, fwIoU, mACC, pACC; instance COCO's AP and AR, and
    matched precision as StarDist has it (AP_match): `unimask.evaluation.scorers` says what each
    counts. All but HD95 (pixels) are percentages; what is not defined is None.

    Args:
        data: Folder of the dataset.
        model: A predictor, or whatever `load` takes.
        results: In place of a model, whatever `open_results` takes.
        categories: What `category_id` of results numbers, "data" or "labels" (from 0); by default
            found out.
        task: By default the model's widest that the labels can judge; what results answer.
        split: Part of the dataset; None for all pictures.
        format: Of the labels, as `open_dataset` takes it, where only a look at maps tells.
        masks: Label maps to read, as `open_dataset` takes them.
        window: Values that become black and white when images are read, or "auto"; None takes
            what the model was trained with.
        max_detections: Instance: the surest of a class in a picture, which alone count.
        boundaries: Score outlines too: instance AP_boundary; semantic mBIoU, Dice, HD95.
        ap: Instance: "coco" or "cityscapes", whose average precision; by default Cityscapes' for
            Cityscapes as it is published, else COCO's.
        device: Where a model that is loaded here runs.
        dtype: What it computes in, as `load` takes it.
        preprocessing: "authors" or "hub", as `load` takes it.
        compile: Whether a model that is loaded here is compiled, as `load` takes it.
        json: File to write the scores to.
        page: HTML file to write: scores, curves, confusion, best and worst pictures.
        overwrite: Whether `json` and `page` may replace files that unimask did not write.
        progress: Told after each picture.

    Returns:
        `{task, data, about, split, images, metrics, per_class, notes}`; "about" says what was
        found in the folder.

    Raises:
        DataError: Dataset, results or model cannot be read, or do not belong together.
        OutputError: A file cannot be written, or would replace one that unimask did not write.
        SettingsError: There is neither a model nor results, or both; or no such AP.
        TaskError: Model, results or labels cannot do the task.
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
    """Give the model that is to be scored.

    Raises:
        SettingsError: There is none.
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
        predictor: The model.
        dataset: Labelled pictures.
        task: By default the model's widest that the labels can judge.
        least_area: Panoptic: true segments with fewer pixels count as void.
        progress: Told after each picture.

    Returns:
        `{task, images, metrics, per_class, notes}`.
    """
    answers = Predictions(predictor, dataset, task)
    scorer = scorer_for(
        answers.task, answers.labels, least_area=least_area, ap=rule_of(answers.dataset)
    )
    return score(answers, scorer, None, progress)


def score(
    answers: Answers, scorer: Scorer, watch: Watch | None, progress: Progress | None
) -> dict[str, object]:
    """Score the answers for all pictures."""
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
