"""Derive problems and remarks from the statistics of a dataset, before training starts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unimask.curation.survey import Survey
from unimask.datasets.describe import describe_difference
from unimask.datasets.groups import find_shared_groups
from unimask.datasets.statistics import MOST_PLAIN, share_of_plain_images
from unimask.datasets.supervision import missing_supervision, no_supervision_message
from unimask.labels import Task, have_same_classes
from unimask.processing.value_ranges import (
    RangeWarning,
    format_range_warnings,
    group_range_warnings,
)

MIN_CLASS_OBJECTS = 10
"""Thing classes with fewer objects than this are reported as rare."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of problem.

    Attributes:
        severe: Whether training would fail or scores would mislead; otherwise it is a remark.
        message: Message of one line: the problem, how often it occurs, and the remedy.
        files: Affected images: the path, with a reason where each image has its own.
    """

    severe: bool
    message: str
    files: tuple[str, ...] = ()


def find_problems(
    surveys: Sequence[Survey], queries: int, *, has_fixed_queries: bool
) -> list[Finding]:
    """Return all findings on a dataset, the severe ones first.

    Args:
        surveys: Statistics of each split.
        queries: Number of queries per image with which crowded images were determined.
        has_fixed_queries: Whether the network to be trained has exactly that number of queries.
    """
    results = [
        finding
        for survey in surveys
        for finding in find_split_problems(survey, queries, has_fixed_queries)
    ]
    results += (
        find_equal_images(surveys)
        + find_groups_across_splits(surveys)
        + find_class_differences(surveys)
        + find_rare_classes(surveys)
        + find_plain_images(training_survey(surveys))
    )
    results += find_untrainable_tasks(training_survey(surveys)) + find_similar_names(
        training_survey(surveys)
    )
    return sorted(results, key=lambda finding: not finding.severe)


def find_split_problems(survey: Survey, queries: int, has_fixed_queries: bool) -> list[Finding]:
    """Return the findings on one split by itself."""
    split, results = survey.name, []
    if survey.unreadable:
        results.append(
            Finding(
                True,
                f"{split}: {format_count(len(survey.unreadable), 'image')} cannot be read",
                tuple(item.reason for item in survey.unreadable),
            )
        )
    if survey.crowded:
        results.append(
            Finding(
                has_fixed_queries,
                f"{split}: {format_count(len(survey.crowded), 'image')} with more objects than "
                f"{queries} queries, at most {survey.most_things[0]}: increase --queries",
                tuple(f"{path}: {count} objects" for path, count in survey.crowded),
            )
        )
    for images, what in (
        (
            survey.hidden,
            "without a pixel, which are not learned: remove them or draw them larger",
        ),
        (survey.doubled, "with the same mask and class as another: remove the duplicates"),
    ):
        if images:
            count = format_count(sum(times for _, times in images), "object")
            files = tuple(f"{path}: {times}" for path, times in images)
            results.append(Finding(False, f"{split}: {count} {what}", files))
    if survey.empty:
        results.append(
            Finding(
                False,
                f"{split}: {format_count(len(survey.empty), 'image')} without objects; they are "
                "kept as background examples",
                tuple(map(str, survey.empty)),
            )
        )
    return results


def find_range_problems(warnings: Sequence[RangeWarning]) -> list[Finding]:
    """Report images that use little of the range mapped to 0..255; black ones are severe."""
    return [
        Finding(
            group[0].kind == "black",
            format_range_warnings(group),
            tuple(dict.fromkeys(warning.name for warning in group)),
        )
        for group in group_range_warnings(warnings)
    ]


def find_equal_images(surveys: Sequence[Survey]) -> list[Finding]:
    """Find equal images: across two splits they inflate scores, within one they count twice."""
    results = []
    for index, survey in enumerate(surveys):
        repeated = [paths for paths in survey.digests.values() if len(paths) > 1]
        if repeated:
            results.append(
                Finding(
                    False,
                    f"{survey.name}: {format_count(len(repeated), 'image')} more than once",
                    tuple(" = ".join(map(str, paths)) for paths in repeated),
                )
            )
        for other in surveys[index + 1 :]:
            shared = survey.digests.keys() & other.digests.keys()
            pairs = [f"{survey.digests[key][0]} = {other.digests[key][0]}" for key in shared]
            if pairs:
                results.append(
                    Finding(
                        True,
                        f"{format_count(len(pairs), 'image')} of {other.name} also in "
                        f"{survey.name}: scores would be too high; remove them from one",
                        tuple(sorted(pairs)),
                    )
                )
    return results


def find_groups_across_splits(surveys: Sequence[Survey]) -> list[Finding]:
    """Find groups of images (frames, slices, tiles) that published splits have on both sides."""
    train, results = training_survey(surveys), []
    for survey in surveys:
        if survey is train or survey.by_rule:
            continue
        shared = find_shared_groups(train.paths, survey.paths, train.labels.names)
        if shared:
            results.append(
                Finding(
                    False,
                    f"{survey.name} and {train.name} share {format_count(len(shared), 'group')} of "
                    f"images by their names: {format_names(shared)}; if these are frames, slices "
                    "or tiles of one source, scores are too high: split by whole groups",
                )
            )
    return results


def find_untrainable_tasks(survey: Survey) -> list[Finding]:
    """Find tasks for which the training split has nothing to learn."""
    things = int(survey.visible[list(survey.labels.things)].sum())
    classes = int(np.count_nonzero(survey.visible))
    reasons: dict[str, list[Task]] = {}
    for task in survey.tasks:
        if reason := missing_supervision(task, things=things, classes=classes):
            reasons.setdefault(reason, []).append(task)
    crowds = (
        f" ({format_count(survey.crowds, 'crowd')}: some tools export brush masks with iscrowd 1, "
        "set it to 0)"
        if survey.crowds
        else ""
    )
    return [
        Finding(True, no_supervision_message(survey.name, tasks, reason + crowds))
        for reason, tasks in reasons.items()
        if survey.sizes
    ]


def find_similar_names(survey: Survey) -> list[Finding]:
    """Find classes that share a name, nearly share one, or have one that could not be decoded."""
    times = Counter(survey.labels.names)
    messages = [
        f"{count} classes are called {name}: rename or merge them"
        for name, count in times.items()
        if count > 1
    ]
    similar: dict[str, list[str]] = {}
    for name in times:
        similar.setdefault("".join(name.casefold().split()), []).append(name)
    messages += [
        f"classes {' and '.join(map(repr, names))} differ only in spaces or letter case: use one "
        "name if they are one class"
        for names in similar.values()
        if len(names) > 1
    ]
    if undecoded := [name for name in times if "\ufffd" in name]:
        messages.append(
            f"{len(undecoded)} class names hold bytes that are not UTF-8, such as {undecoded[0]}: "
            "save the labels as UTF-8"
        )
    return [Finding(False, sentence) for sentence in messages]


def find_class_differences(surveys: Sequence[Survey]) -> list[Finding]:
    """Find splits whose classes differ from those of the training split."""
    train = training_survey(surveys)
    return [
        Finding(
            True,
            f"{train.name} and {survey.name} differ in their classes: "
            f"{describe_difference(train.labels, survey.labels, train.name, survey.name)}; list "
            "the same classes in both, in one order",
        )
        for survey in surveys
        if not have_same_classes(train.labels, survey.labels)
    ]


def training_survey(surveys: Sequence[Survey]) -> Survey:
    """Return the split used for training."""
    return next((survey for survey in surveys if survey.name == "train"), surveys[0])


def find_rare_classes(surveys: Sequence[Survey]) -> list[Finding]:
    """Find classes that are absent from, or rare in, the training split."""
    train = training_survey(surveys)
    names = np.array(train.labels.names)
    results = []
    missing = names[train.objects == 0].tolist()
    if missing:
        results.append(
            Finding(
                False,
                f"{train.name}: no objects of {format_count(len(missing), 'class', 'classes')}: "
                f"{format_names(missing)}",
            )
        )
    for survey in surveys:
        if survey is train or survey.labels.names != train.labels.names:
            continue
        new = names[(train.objects == 0) & (survey.objects > 0)].tolist()
        if new:
            results.append(
                Finding(
                    True,
                    f"{survey.name} has {format_count(len(new), 'class', 'classes')} that "
                    f"{train.name} does not contain: {format_names(new)}; split the data again",
                )
            )
    is_rare = (
        (train.objects > 0) & (train.objects < MIN_CLASS_OBJECTS) & np.array(train.labels.is_thing)
    )
    rare = names[is_rare].tolist()
    if rare:
        results.append(
            Finding(
                False,
                f"{train.name}: fewer than {MIN_CLASS_OBJECTS} objects each of "
                f"{format_count(len(rare), 'class', 'classes')}: {format_names(rare)}",
            )
        )
    return results


def find_plain_images(train: Survey) -> list[Finding]:
    """Report that most images show common classes only, such as background."""
    share = share_of_plain_images(train.classes_by_image)
    if share <= MOST_PLAIN:
        return []
    message = (
        f"{train.name}: {share:.0%} of the images show none of the rarer classes; by default, "
        "train repeats the others (--repeat-rare 1)"
    )
    return [Finding(False, message)]


def format_count(count: int, singular: str, plural: str | None = None) -> str:
    """Format a number with its noun in singular or plural."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def format_names(names: Sequence[str | Path], max_names: int = 8) -> str:
    """Join the first few names, and state how many more there are."""
    text = ", ".join(map(str, names[:max_names]))
    return text if len(names) <= max_names else f"{text}, and {len(names) - max_names} more"
