"""Numbering of categories in results: the dataset's own ids, or label ids from 0."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from unimask.datasets import Dataset, Sample
from unimask.errors import DataError, SettingsError
from unimask.evaluation.result_files.source import dataset_categories
from unimask.formats.json_values import Id, abbreviate
from unimask.formats.run_length import RunLength

NumberingName = Literal["data", "labels"]
"""The dataset's category ids, or label ids from 0."""

MAX_COMPARED_IMAGES = 20
"""Number of images whose ground truth is compared if ids alone do not decide."""

MIN_VOTE_RATIO = 3
"""Factor by which the results that agree with one numbering must outnumber those of the other."""

CategoryMatch = tuple[Id, int]
"""Category of a result, and label id of the true object that it matches."""


class Numbering:
    """Mapping from categories to label ids.

    Args:
        label_ids: Label id by category.
        note: Note for readers of the scores; "" for none.
        source: File of the results, for messages.
    """

    def __init__(self, label_ids: Mapping[Id, int], note: str, source: Path) -> None:
        self.label_ids, self.note, self.source = label_ids, note, source

    def label_id(self, category: Id) -> int:
        """Return the label id of a category.

        Raises:
            DataError: The category is unknown.
        """
        if category not in self.label_ids:
            raise DataError(unknown_category_message(self.source, category, self.label_ids))
        return self.label_ids[category]


def choose_numbering(
    dataset: Dataset,
    categories: Collection[Id],
    source: Path,
    requested: str | None,
    match_categories: Callable[[], Iterable[CategoryMatch]],
) -> Numbering:
    """Determine how the categories of results are numbered.

    If the ids in use fit only one numbering, they decide; otherwise the comparison with the ground
    truth does.

    Args:
        dataset: Dataset that the results belong to.
        categories: Categories that occur in the results.
        source: File of the results, for messages.
        requested: Numbering chosen by the user, "data" or "labels"; None to detect it.
        match_categories: Function that matches results to true objects of some images; called only
            if ids do not decide.

    Raises:
        DataError: A category fits neither numbering, or the numbering is ambiguous.
        SettingsError: The chosen numbering is unknown.
    """
    if requested not in (None, *get_args(NumberingName)):
        raise SettingsError(f"unknown categories {requested!r}: choose data or labels")
    labels: dict[Id, int] = {label: label for label in range(len(dataset.labels))}
    data = dataset_categories(dataset)
    if data is None or requested == "labels":
        return validate_numbering(Numbering(labels, "", source), categories)
    if requested == "data" or all(
        data.get(category) == labels.get(category) for category in categories
    ):
        return validate_numbering(Numbering(data, "", source), categories)
    by_data, by_labels = data.keys() >= set(categories), labels.keys() >= set(categories)
    note = "the categories of the results are label ids from 0, not the data's category ids"
    if by_labels and not by_data:
        return Numbering(labels, note, source)
    if by_data and by_labels:
        return choose_by_votes(
            Numbering(data, "", source), Numbering(labels, note, source), match_categories()
        )
    return validate_numbering(Numbering(data, "", source), categories)


def choose_by_votes(
    data: Numbering, labels: Numbering, matches: Iterable[CategoryMatch]
) -> Numbering:
    """Choose the numbering under which results match objects of their own class.

    Raises:
        DataError: Neither numbering is clearly better.
    """
    pairs = list(matches)
    votes_data, votes_labels = (
        sum(numbering.label_ids[category] == label for category, label in pairs)
        for numbering in (data, labels)
    )
    evidence = f"{votes_data} of {len(pairs)} results lie on objects of their class by the data's "
    evidence += f"category ids, {votes_labels} by label ids from 0"
    if votes_labels > MIN_VOTE_RATIO * votes_data:
        return Numbering(labels.label_ids, f"{labels.note}: {evidence}", labels.source)
    if votes_data > MIN_VOTE_RATIO * votes_labels or votes_data == votes_labels == 0:
        note = f"the categories of the results are read as the data's category ids: {evidence}"
        return Numbering(data.label_ids, note, data.source)
    raise DataError(
        f"{data.source}: its categories can be the data's category ids or label ids from 0 "
        f"({evidence}): choose one with --categories data or --categories labels"
    )


def validate_numbering(numbering: Numbering, categories: Iterable[Id]) -> Numbering:
    """Check that a numbering has all categories, and return it.

    Raises:
        DataError: A category is missing.
    """
    for category in categories:
        numbering.label_id(category)
    return numbering


def unknown_category_message(source: Path, category: Id, known: Mapping[Id, int]) -> str:
    """Describe a category that the dataset does not have."""
    ids = sorted(known, key=lambda id: (isinstance(id, str), id))
    return (
        f"{source} has results of category {abbreviate(category)}, but the data has {len(ids)} "
        f"categories from {abbreviate(ids[0])} to {abbreviate(ids[-1])}: renumber the results"
    )


def matched_label(rle: RunLength, sample: Sample) -> int | None:
    """Return the label id of the true object with an IoU of at least one half; None without one."""
    if rle.size != sample.size or not rle.area:
        return None
    mask, best = rle.to_mask(), 0.0
    label = None
    for layer in sample.id_maps:
        shared = np.bincount(layer[mask], minlength=len(sample.label_ids) + 1)
        number = 1 + int(shared[1:].argmax()) if len(shared) > 1 else 0
        if not number or not shared[number]:
            continue
        union = rle.area + np.count_nonzero(layer == number) - shared[number]
        if shared[number] / union >= max(0.5, best):
            best, label = shared[number] / union, int(sample.label_ids[number - 1])
    return label
