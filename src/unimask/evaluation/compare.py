"""Two models side by side on the same labelled pictures."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from unimask.datasets import open_dataset
from unimask.errors import DataError, TaskError
from unimask.evaluation.answers import Answers, FromFiles, are_results, predictions
from unimask.evaluation.bootstrap import Difference, paired_bootstrap
from unimask.evaluation.pooling import pool_of
from unimask.evaluation.scorers import Scorer, rule_of, scorer_for
from unimask.formats.output_file import check_output_files, write_report
from unimask.inference import Dtype, Predictor, load
from unimask.labels import Task

RESAMPLES = 1000

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and how much there is."""


@dataclass(frozen=True)
class Comparison:
    """What two models scored, and how sure their differences are.

    Attributes:
        task: What both did.
        names: What they are called.
        pictures: How many both have seen.
        scores: By name of the score.
        resamples: Draws behind the intervals.
    """

    task: Task
    names: tuple[str, str]
    pictures: int
    scores: dict[str, Difference]
    resamples: int

    def to_dict(self) -> dict[str, object]:
        """Give everything as plain values, ready for JSON."""
        scores = {
            name: {**asdict(found), "change": found.change} for name, found in self.scores.items()
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
    """Score two models on the same pictures, with intervals of their differences.

    Either may be results that any program wrote, so that models of all kinds can be compared: a
    JSON file, or a folder that holds no model (see `open_results`).

    Intervals hold the difference with a confidence of 95 % (`paired_bootstrap`): whether another
    few hundred pictures of the same kind would show it too. They say nothing about other kinds of
    pictures, nor about another training of the same models.

    Args:
        first: A predictor, whatever `load` takes, or results.
        second: Likewise.
        data: Folder of the dataset.
        task: What both can do; the first's widest of these by default.
        split: Part of the dataset.
        ap: Instance: whose average precision, as `evaluate` takes it.
        resamples: Draws behind the intervals.
        seed: Of the draws.
        device: Where models that are loaded here run.
        dtype: What they compute in.
        json: File to write the comparison to.
        overwrite: Whether it may replace a file that unimask did not write.
        progress: Told after each picture and each draw.

    Raises:
        DataError: The dataset cannot be read, or its classes are not the models'.
        OutputError: The file cannot be written, or would replace one that unimask did not write.
        TaskError: The models have no task in common.
    """
    check_output_files(json, overwrite=overwrite)
    load_it = partial(load, device=device, dtype=dtype)
    predictors = [
        None if are_results(it) else it if isinstance(it, Predictor) else load_it(it)
        for it in (first, second)
    ]
    if predictors[0] is not None and predictors[1] is not None:
        task = common_task(predictors[0], predictors[1], task)
    answers = [
        FromFiles(str(it), open_dataset(data, split), task)
        if predictor is None
        else predictions(predictor, data, split, task)
        for it, predictor in zip((first, second), predictors, strict=True)
    ]
    if answers[0].task != answers[1].task:
        raise TaskError(
            f"{answers[0].name} is {answers[0].task}, {answers[1].name} {answers[1].task}: "
            "give the --task that both can do"
        )
    names = distinct(answers[0].name, answers[1].name)
    parts = [scored(one, name, ap, progress) for one, name in zip(answers, names, strict=True)]
    told = None if progress is None else lambda done, total: progress("resamples", done, total)
    comparison = Comparison(
        task=answers[0].task,
        names=names,
        pictures=len(parts[0]),
        scores=paired_bootstrap(
            pool_of(parts[0]),
            pool_of(parts[1]),
            len(parts[0]),
            resamples=resamples,
            seed=seed,
            progress=told,
        ),
        resamples=resamples,
    )
    if json is not None:
        write_report(json, comparison.to_dict(), overwrite=overwrite)
    return comparison


def common_task(first: Predictor, second: Predictor, task: str | None) -> Task:
    """Give what both can do.

    Raises:
        TaskError: One of them cannot do the task, or they have none in common.
    """
    if task is not None:
        second.task_of(task)
        return first.task_of(task)
    for candidate in first.tasks:
        if candidate in second.tasks:
            return candidate
    raise TaskError(
        f"{first.name} does {', '.join(first.tasks)}, {second.name} {', '.join(second.tasks)}: "
        "they have no task in common"
    )


def distinct(first: str, second: str) -> tuple[str, str]:
    """Give two names that differ."""
    return (first, second) if first != second else (f"{first} (1)", f"{second} (2)")


def scored(answers: Answers, name: str, ap: str | None, progress: Progress | None) -> list[Scorer]:
    """Score each picture by itself.

    Raises:
        DataError: There are no pictures.
    """
    dataset = answers.dataset
    if not len(dataset):
        raise DataError(f"{dataset.name} has no pictures to compare on")
    parts, rule = [], rule_of(dataset, ap)
    for index in range(len(dataset)):
        sample = dataset[index]
        scorer = scorer_for(answers.task, answers.labels, ap=rule)
        scorer.add(answers.of(index, sample), sample)
        parts.append(scorer)
        if progress is not None:
            progress(name, index + 1, len(dataset))
    return parts
