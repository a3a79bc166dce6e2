"""Comparison of two models on the same labelled images."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from unimask.datasets import open_dataset
from unimask.errors import DataError, TaskError
from unimask.evaluation.bootstrap import Difference, paired_bootstrap
from unimask.evaluation.pooling import build_pool
from unimask.evaluation.result_providers import (
    FileResults,
    ResultProvider,
    is_result_path,
    open_predictions,
)
from unimask.evaluation.scorers import Scorer, build_scorer, choose_ap_definition
from unimask.formats.output_file import check_output_files, write_report
from unimask.inference import Dtype, Predictor, load
from unimask.labels import Task

RESAMPLES = 1000

Progress = Callable[[str, int, int], None]
"""Function of the current activity, the number of finished steps, and the number of all steps."""


@dataclass(frozen=True)
class Comparison:
    """Scores of two models, with confidence intervals of their differences.

    Attributes:
        task: Task of both models.
        names: Names of the models.
        images: Number of images.
        scores: Difference by name of the score.
        resamples: Number of resamples for the intervals.
    """

    task: Task
    names: tuple[str, str]
    images: int
    scores: dict[str, Difference]
    resamples: int

    def to_dict(self) -> dict[str, object]:
        """Return everything as plain values that JSON can hold."""
        scores = {
            name: {**asdict(score), "change": score.change} for name, score in self.scores.items()
        }
        return {**asdict(self), "names": list(self.names), "scores": scores}


def compare(
    first: str | Path | Predictor,
    second: str | Path | Predictor,
    data: str | Path,
    *,
    task: str | None = None,
    split: str = "val",
    ap: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    device: str = "auto",
    dtype: Dtype = "float32",
    json: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Score two models on the same images, with confidence intervals of their differences.

    Either may be results of another program, so that any models can be compared: a JSON file, or a
    folder without a model (see `open_results`).

    A 95 % confidence interval (`paired_bootstrap`) shows whether another few hundred images of the
    same kind would confirm a difference. It does not apply to other kinds of images, nor to another
    training of the same models.

    Args:
        first: Predictor, any model that `load` takes, or results.
        second: Predictor, model or results to compare with it.
        data: Folder of the dataset.
        task: Task that both support; by default the most demanding one of the first model.
        split: Split of the dataset.
        ap: Instance: definition of average precision, as `evaluate` takes it.
        resamples: Number of resamples for the intervals.
        seed: Seed of the random draws.
        device: Device of models that are loaded here.
        dtype: Data type of their computation.
        json: File to write the comparison to.
        overwrite: Whether it may replace a file that unimask did not write.
        progress: Function that is called after each image and each resample.

    Returns:
        Scores of both models in percent, and their differences with confidence intervals.

    Raises:
        DataError: The dataset cannot be read, or has other classes than the models.
        OutputError: The file cannot be written, or exists and was not written by unimask.
        TaskError: The models have no task in common.

    Example:
        >>> import unimask
        >>> comparison = unimask.compare("run-a", "run-b", "cells")  # doctest: +SKIP
        >>> print(comparison.scores["PQ"].change)  # doctest: +SKIP
    """
    check_output_files(json, overwrite=overwrite)
    load_model = partial(load, device=device, dtype=dtype)
    sources = [
        it if is_result_path(it) or isinstance(it, Predictor) else load_model(it)
        for it in (first, second)
    ]
    if isinstance(sources[0], Predictor) and isinstance(sources[1], Predictor):
        task = common_task(sources[0], sources[1], task)
    one, other = (open_source(source, data, split, task) for source in sources)
    if one.task != other.task:
        raise TaskError(
            f"{one.name} is {one.task}, {other.name} {other.task}: choose a task that both "
            "support with --task"
        )
    names = make_distinct(one.name, other.name)
    parts = [score_images(one, names[0], ap, progress), score_images(other, names[1], ap, progress)]
    report_resamples = (
        None if progress is None else lambda done, total: progress("resamples", done, total)
    )
    comparison = Comparison(
        task=one.task,
        names=names,
        images=len(parts[0]),
        scores=paired_bootstrap(
            build_pool(parts[0]),
            build_pool(parts[1]),
            len(parts[0]),
            resamples=resamples,
            seed=seed,
            progress=report_resamples,
        ),
        resamples=resamples,
    )
    if json is not None:
        write_report(json, comparison.to_dict(), overwrite=overwrite)
    return comparison


def open_source(
    source: str | Path | Predictor, data: str | Path, split: str, task: str | None
) -> ResultProvider:
    """Open the dataset with the results of a predictor or of files."""
    if isinstance(source, Predictor):
        return open_predictions(source, data, split, task)
    return FileResults(source, open_dataset(data, split), task)


def common_task(first: Predictor, second: Predictor, task: str | None) -> Task:
    """Return a task that both models support.

    Raises:
        TaskError: One of them does not support the task, or they have none in common.
    """
    if task is not None:
        second.resolve_task(task)
        return first.resolve_task(task)
    for candidate in first.tasks:
        if candidate in second.tasks:
            return candidate
    raise TaskError(
        f"{first.name} supports {', '.join(first.tasks)}, {second.name} {', '.join(second.tasks)}: "
        "they have no task in common"
    )


def make_distinct(first: str, second: str) -> tuple[str, str]:
    """Return two names that differ."""
    return (first, second) if first != second else (f"{first} (1)", f"{second} (2)")


def score_images(
    provider: ResultProvider, name: str, ap: str | None, progress: Progress | None
) -> list[Scorer]:
    """Score each image on its own.

    Raises:
        DataError: The dataset has no images.
    """
    dataset = provider.dataset
    if not len(dataset):
        raise DataError(f"{dataset.name} has no images to compare on")
    parts, rule = [], choose_ap_definition(dataset, ap)
    for index in range(len(dataset)):
        sample = dataset[index]
        scorer = build_scorer(provider.task, provider.labels, ap=rule, min_score=provider.min_score)
        scorer.add(provider.result(index, sample), sample)
        parts.append(scorer)
        if progress is not None:
            progress(name, index + 1, len(dataset))
    return parts
