"""Numbering of categories in results: the dataset's own ids, or label ids from 0."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from unimask.datasets import Dataset, Sample
from unimask.errors import DataError, SettingsError
from unimask.evaluation.result_files.source import categories_of
from unimask.formats.json_values import Id, abbreviate
from unimask.formats.run_length import RunLength

Numbers = Literal["data", "labels"]
"""The dataset's category ids, or label ids from 0."""

LOOKED_AT = 20
"""Number of images whose ground truth is compared if ids alone do not decide."""

CLEAR = 3
"""Factor by which the results that agree with one numbering must outnumber those of the other."""

Finding = tuple[Id, int]
"""Category of a result, and label id of the true object that it matches."""


class Numbering:
    """Mapping from categories to label ids.

    Args:
        label_of: Label id by category.
        note: Note for readers of the scores; "" for none.
        source: File of the results, for messages.
    """

    def __init__(self, label_of: Mapping[Id, int], note: str, source: Path) -> None:
        self.label_of, self.note, self.source = label_of, note, source

    def label(self, category: Id) -> int:
        """Return the label id of a category.

        Raises:
            DataError: The category is unknown.
        """
        if category not in self.label_of:
            raise DataError(stray(self.source, category, self.label_of))
        return self.label_of[category]


def choose_numbering(
    dataset: Dataset,
    used: Collection[Id],
    source: Path,
    asked: str | None,
    findings: Callable[[], Iterable[Finding]],
) -> Numbering:
    """Determine how the categories of results are numbered.

    If the ids in use fit only one numbering, they decide; otherwise the comparison with the ground
    truth does.

    Args:
        dataset: Dataset that the results belong to.
        used: Categories that occur in the results.
        source: File of the results, for messages.
        asked: Numbering chosen by the user, "data" or "labels"; None to detect it.
        findings: Function that matches results to true objects of some images; called only if ids
            do not decide.

    Raises:
        DataError: A category fits neither numbering, or the numbering is ambiguous.
        SettingsError: The chosen numbering is unknown.
    """
    if asked not in (None, *get_args(Numbers)):
        raise SettingsError(f"unknown categories {asked!r}: choose data or labels")
    labels: dict[Id, int] = {label: label for label in range(len(dataset.labels))}
    data = categories_of(dataset)
    if data is None or asked == "labels":
        return checked(Numbering(labels, "", source), used)
    if asked == "data" or all(data.get(category) == labels.get(category) for category in used):
        return checked(Numbering(data, "", source), used)
    by_data, by_labels = data.keys() >= set(used), labels.keys() >= set(used)
    note = "the categories of the results are label ids from 0, not the data's category ids"
    if by_labels and not by_data:
        return Numbering(labels, note, source)
    if by_data and by_labels:
        return decided(Numbering(data, "", source), Numbering(labels, note, source), findings())
    return checked(Numbering(data, "", source), used)


def decided(data: Numbering, labels: Numbering, findings: Iterable[Finding]) -> Numbering:
    """Choose the numbering under which results match objects of their own class.

    Raises:
        DataError: Neither numbering is clearly better.
    """
    pairs = list(findings)
    votes_data, votes_labels = (
        sum(numbering.label_of[category] == label for category, label in pairs)
        for numbering in (data, labels)
    )
    evidence = f"{votes_data} of {len(pairs)} results lie on objects of their class by the data's "
    evidence += f"category ids, {votes_labels} by label ids from 0"
    if votes_labels > CLEAR * votes_data:
        return Numbering(labels.label_of, f"{labels.note}: {evidence}", labels.source)
    if votes_data > CLEAR * votes_labels or votes_data == votes_labels == 0:
        note = f"the categories of the results are taken for the data's category ids: {evidence}"
        return Numbering(data.label_of, note, data.source)
    raise DataError(
        f"{data.source}: its categories can be the data's category ids or label ids from 0 "
        f"({evidence}): say which with --categories data or --categories labels"
    )


def checked(numbering: Numbering, used: Iterable[Id]) -> Numbering:
    """Check that a numbering has all categories, and return it.

    Raises:
        DataError: A category is missing.
    """
    for category in used:
        numbering.label(category)
    return numbering


def stray(source: Path, category: Id, known: Mapping[Id, int]) -> str:
    """Describe a category that the dataset does not have."""
    ids = sorted(known, key=lambda id: (isinstance(id, str), id))
    return (
        f"{source} has results of category {abbreviate(category)}, but the data has {len(ids)} "
        f"categories from {abbreviate(ids[0])} to {abbreviate(ids[-1])}: renumber the results"
    )


def true_label(rle: RunLength, sample: Sample) -> int | None:
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
