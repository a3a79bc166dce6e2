"""Evaluation of models on labelled images."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from unimask.config import Preprocessing, Window
from unimask.datasets import Dataset, Sample, describe, open_dataset
from unimask.datasets.interface import DatasetOptions, check_chip_options
from unimask.errors import SettingsError
from unimask.evaluation.calibration import CalibrationCollector, calibration_report
from unimask.evaluation.page import write_page
from unimask.evaluation.page_collector import PageCollector, build_page
from unimask.evaluation.result_providers import (
    FileResults,
    Predictions,
    ResultProvider,
    open_predictions,
)
from unimask.evaluation.scorers import MAX_DETECTIONS, Scorer, build_scorer, choose_ap_definition
from unimask.evaluation.volume_cases import collect_cases
from unimask.formats.output_file import check_output_files, write_report
from unimask.inference import Dtype, Predictor, load
from unimask.inference.augmentation import Augmentations
from unimask.results import Result

Progress = Callable[[int, int], None]
"""Function of the number of finished images and the number of all images."""


class Collector(Protocol):
    """Observer of every prediction that is scored."""

    def add(self, result: Result, sample: Sample) -> None:
        """Add an image."""
        ...


def evaluate(
    data: str | Path,
    model: str | Path | Predictor | None = None,
    *,
    results: str | Path | None = None,
    categories: str | None = None,
    task: str | None = None,
    split: str | None = "val",
    names: tuple[str, ...] | None = None,
    format: str | None = None,
    masks: str | None = None,
    bands: tuple[int, ...] | None = None,
    chip: int | None = None,
    channels: int | None = None,
    window: Window = None,
    max_detections: int = MAX_DETECTIONS,
    boundaries: bool = False,
    ap: str | None = None,
    tolerance: float | None = None,
    device: str = "auto",
    dtype: Dtype = "float32",
    preprocessing: Preprocessing = "authors",
    compile: bool = False,
    tta: bool | Augmentations = False,
    json: str | Path | None = None,
    page: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Score a model, or results of any program, on labelled images.

    Metrics are PQ, SQ, RQ for panoptic; mIoU, fwIoU, mACC, pACC for semantic; COCO's AP and AR, and
    StarDist's matched precision (AP_match) for instance. `unimask.evaluation.scorers` defines them.
    All except HD95 (pixels) are percentages; undefined ones are None. Datasets of volumes are
    scored as volumes too: Dice, HD95 and NSD in mm, as `unimask.metrics.VolumeScores` defines them.

    Args:
        data: Folder of the dataset.
        model: Predictor, or any model that `load` takes.
        results: Results to score instead of a model, as `open_results` takes them.
        categories: Numbering of `category_id` in results, "data" (the dataset's ids) or "labels"
            (label ids from 0); detected by default.
        task: Task to score; by default the model's most demanding one that the labels support, or
            that of the results.
        split: Split of the dataset; None for all images.
        names: Class names of the dataset, for formats that only number the classes.
        format: Format of the labels as `open_dataset` takes it, for maps that are ambiguous.
        masks: Label maps to read, as `open_dataset` takes them.
        bands: Scenes: band of each channel, as `open_dataset` takes them; by default the model's.
        chip: Scenes: side of the chips in pixels; by default that of the model's training.
        channels: Results: number of channels of the images, 3 by default; models have their own.
        window: Values that become black and white when images are read, or "auto"; None uses the
            model's window.
        max_detections: Instance: number of highest-scoring detections that count per class and
            image.
        boundaries: Whether to score boundaries too: AP_boundary for instance; mBIoU, Dice, HD95 for
            semantic.
        ap: Instance: definition of average precision, "coco" or "cityscapes"; by default that of
            Cityscapes for Cityscapes as published, else that of COCO.
        tolerance: Volumes: tolerance of NSD in mm; 2 by default.
        device: Device of a model that is loaded here.
        dtype: Data type of its computation, as `load` takes it.
        preprocessing: Source of its pre-processing, "authors" or "hub", as `load` takes it.
        compile: Whether it is compiled, as `load` takes it.
        tta: Whether the model predicts from several views of each image (test-time augmentation),
            as `Predictor.predict` takes it.
        json: File to write the scores to.
        page: HTML file to write, with scores, curves, confusion matrix, best and worst images.
        overwrite: Whether `json` and `page` may replace files that unimask did not write.
        progress: Function that is called after each image.

    Returns:
        `{task, data, description, split, images, metrics, per_class, notes}`; the description is
        that of the dataset. With `json` or `page` also `calibration`: `{ECE, MCE, bins}`, which
        compares confidences with the accuracy of pixels, or the precision of instances. For
        volumes also `volumes`: `{tolerance_mm, metrics, per_structure, cases}`.

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
    check_sources(model, results, categories, tta, channels)
    check_output_files(json, page, overwrite=overwrite)
    is_calibrated = json is not None or page is not None
    if results is not None:
        dataset = open_dataset(
            data, split, names=names, channels=channels or 3, format=format, masks=masks,
            bands=bands, chip=chip,
        )  # fmt: skip
        provider: ResultProvider = FileResults(results, dataset, task, categories)
    else:
        predictor = load_predictor(model, device, dtype, preprocessing, compile)
        options = DatasetOptions(names, format=format, masks=masks, bands=bands, chip=chip)
        provider = open_predictions(
            predictor, data, split, task, options, window, retain_confidence=is_calibrated
        )
        provider.tta = tta
        check_chip_options(provider.dataset, bands, chip)
    scorer = build_scorer(
        provider.task,
        provider.labels,
        max_detections=max_detections,
        boundaries=boundaries,
        ap=choose_ap_definition(provider.dataset, ap),
        min_score=provider.min_score,
    )
    collector = (
        None if page is None else PageCollector(provider.labels, provider.task, provider.min_score)
    )
    calibration = CalibrationCollector(provider.task, scorer) if is_calibrated else None
    cases = collect_cases(provider.dataset, provider.labels, tolerance)
    scores = score(provider, scorer, [collector, calibration, cases], progress)
    report = start_report(provider.dataset, split, scores)
    report |= {} if cases is None else {"volumes": cases.report()}
    if calibration is not None:
        errors = calibration.calibration()
        report["calibration"] = calibration_report(errors, provider.task)
        if page is not None and collector is not None:
            content = build_page(provider, scorer, collector, errors, split)
            write_page(Path(page), content, overwrite=overwrite)
    if json is not None:
        write_report(json, report, overwrite=overwrite)
    return report


def start_report(
    dataset: Dataset, split: str | None, scores: dict[str, object]
) -> dict[str, object]:
    """Return the scores after the task and the description of the data."""
    return {
        "task": scores["task"],
        "data": dataset.name,
        "description": describe(dataset),
        "split": split,
        **scores,
    }


def check_sources(
    model: object,
    results: object,
    categories: str | None,
    tta: bool | Augmentations,
    channels: int | None = None,
) -> None:
    """Raise SettingsError for both a model and results, or options of the other of them."""
    if model is not None and results is not None:
        raise SettingsError("both a model and results were passed: pass only one of them")
    if results is None and categories is not None:
        raise SettingsError(
            "categories applies only to results: a model's classes are matched by name"
        )
    if results is None and channels is not None:
        raise SettingsError("channels applies only to results: a model reads as many as it has")
    if results is not None and tta is not False:
        raise SettingsError("tta applies only to models: results were predicted before")


def load_predictor(
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
        raise SettingsError("nothing to score: pass a model or results")
    if isinstance(model, Predictor):
        return model
    return load(model, device=device, dtype=dtype, preprocessing=preprocessing, compile=compile)


def evaluate_predictor(
    predictor: Predictor,
    dataset: Dataset,
    *,
    task: str | None = None,
    min_area: int = 0,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Score a predictor on an open dataset.

    Args:
        predictor: Model to score.
        dataset: Dataset with labels.
        task: Task to score; by default the model's most demanding one that the labels support.
        min_area: Panoptic: true segments with fewer pixels count as void.
        progress: Function that is called after each image.

    Returns:
        Report with the keys `{task, images, metrics, per_class, notes}`.
    """
    provider = Predictions(predictor, dataset, task)
    scorer = build_scorer(
        provider.task,
        provider.labels,
        min_area=min_area,
        ap=choose_ap_definition(provider.dataset),
        min_score=provider.min_score,
    )
    return score(provider, scorer, [], progress)


def score(
    provider: ResultProvider,
    scorer: Scorer,
    collectors: Sequence[Collector | None],
    progress: Progress | None,
) -> dict[str, object]:
    """Score the results of all images, and pass them to the collectors."""
    dataset = provider.dataset
    for index in range(len(dataset)):
        sample = dataset[index]
        result = provider.result(index, sample)
        scorer.add(result, sample)
        for collector in collectors:
            if collector is not None:
                collector.add(result, sample)
        if progress is not None:
            progress(index + 1, len(dataset))
    return {
        "task": provider.task,
        "images": len(dataset),
        "metrics": scorer.metrics(),
        "per_class": scorer.per_class(),
        "notes": [*provider.notes(), *scorer.notes()],
    }
