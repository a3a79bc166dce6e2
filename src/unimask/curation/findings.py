"""Derive problems and remarks from the statistics of a dataset, before training starts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unimask.curation.survey import Survey
from unimask.datasets.describe import describe_difference
from unimask.datasets.groups import find_shared_groups
from unimask.datasets.supervision import missing_supervision, no_supervision_message
from unimask.labels import Task, mean_the_same
from unimask.processing.value_ranges import (
    RangeWarning,
    format_range_warnings,
    group_range_warnings,
)

FEW = 10
"""Number of objects of a thing class below which the class is too rare to be learned."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of problem.

    Attributes:
        severe: Whether training would fail or scores would mislead; otherwise it is a remark.
        told: Message of one line: the problem, how often it occurs, and the remedy.
        files: Affected images: the path, with a reason where each image has its own.
    """

    severe: bool
    told: str
    files: tuple[str, ...] = ()


def findings(surveys: Sequence[Survey], queries: int, *, limited: bool) -> list[Finding]:
    """Return all findings on a dataset, the severe ones first.

    Args:
        surveys: Statistics of each split.
        queries: Number of queries per image with which crowded images were determined.
        limited: Whether the network to be trained has exactly that number of queries.
    """
    results = [finding for survey in surveys for finding in within(survey, queries, limited)]
    results += twins(surveys) + neighbours(surveys) + unlike(surveys) + unlearned(surveys)
    results += untaught(learned_from(surveys)) + named_alike(learned_from(surveys))
    return sorted(results, key=lambda finding: not finding.severe)


def within(survey: Survey, queries: int, limited: bool) -> list[Finding]:
    """Return the findings on one split by itself."""
    split, results = survey.name, []
    if survey.unreadable:
        results.append(
            Finding(
                True,
                f"{split}: {counted(len(survey.unreadable), 'image')} cannot be read",
                tuple(item.reason for item in survey.unreadable),
            )
        )
    if survey.crowded:
        results.append(
            Finding(
                limited,
                f"{split}: {counted(len(survey.crowded), 'image')} with more objects than "
                f"{queries} queries, at most {survey.most_things[0]}: give trained weights more by "
                "--queries",
                tuple(f"{path}: {count} objects" for path, count in survey.crowded),
            )
        )
    for images, what in (
        (
            survey.hidden,
            "without a pixel, which have no effect in training: remove them or draw them larger",
        ),
        (survey.doubled, "with the very mask and class of another: remove one of each"),
    ):
        if images:
            count = counted(sum(times for _, times in images), "object")
            files = tuple(f"{path}: {times}" for path, times in images)
            results.append(Finding(False, f"{split}: {count} {what}", files))
    if survey.empty:
        results.append(
            Finding(
                False,
                f"{split}: {counted(len(survey.empty), 'image')} without objects; they are kept, "
                "and teach what is none",
                tuple(map(str, survey.empty)),
            )
        )
    return results


def range_findings(found: Sequence[RangeWarning]) -> list[Finding]:
    """Report images that use little of the range mapped to 0..255; black ones are severe."""
    return [
        Finding(
            group[0].kind == "black",
            format_range_warnings(group),
            tuple(dict.fromkeys(warning.name for warning in group)),
        )
        for group in group_range_warnings(found)
    ]


def twins(surveys: Sequence[Survey]) -> list[Finding]:
    """Find equal images: across two splits they inflate scores, within one they count twice."""
    results = []
    for index, survey in enumerate(surveys):
        doubled = [paths for paths in survey.digests.values() if len(paths) > 1]
        if doubled:
            results.append(
                Finding(
                    False,
                    f"{survey.name}: {counted(len(doubled), 'image')} more than once",
                    tuple(" = ".join(map(str, paths)) for paths in doubled),
                )
            )
        for other in surveys[index + 1 :]:
            shared = survey.digests.keys() & other.digests.keys()
            pairs = [f"{survey.digests[key][0]} = {other.digests[key][0]}" for key in shared]
            if pairs:
                results.append(
                    Finding(
                        True,
                        f"{counted(len(pairs), 'image')} of {other.name} also in {survey.name}: "
                        "scores would be too good; remove them from one",
                        tuple(sorted(pairs)),
                    )
                )
    return results


def neighbours(surveys: Sequence[Survey]) -> list[Finding]:
    """Find groups of images (frames, slices, tiles) that published splits have on both sides."""
    train, results = learned_from(surveys), []
    for survey in surveys:
        if survey is train or survey.by_rule:
            continue
        shared = find_shared_groups(train.paths, survey.paths, train.labels.names)
        if shared:
            results.append(
                Finding(
                    False,
                    f"{survey.name} and {train.name} share {counted(len(shared), 'group')} of "
                    f"images by their names: {shortened(shared)}; if these are frames, slices or "
                    "tiles of one thing, scores are too good: split by whole groups",
                )
            )
    return results


def untaught(survey: Survey) -> list[Finding]:
    """Find tasks for which the training split has nothing to learn."""
    things = int(survey.visible[list(survey.labels.things)].sum())
    classes = int(np.count_nonzero(survey.visible))
    reasons: dict[str, list[Task]] = {}
    for task in survey.tasks:
        if reason := missing_supervision(task, things=things, classes=classes):
            reasons.setdefault(reason, []).append(task)
    crowds = (
        f" ({counted(survey.crowds, 'crowd')}: some tools export brush masks with iscrowd 1, set "
        "it to 0)"
        if survey.crowds
        else ""
    )
    return [
        Finding(True, no_supervision_message(survey.name, tasks, reason + crowds))
        for reason, tasks in reasons.items()
        if survey.sizes
    ]


def named_alike(survey: Survey) -> list[Finding]:
    """Find classes that share a name, nearly share one, or have one that could not be decoded."""
    times = Counter(survey.labels.names)
    found = [
        f"{count} classes are called {name}: give each its own name, or merge them"
        for name, count in times.items()
        if count > 1
    ]
    alike: dict[str, list[str]] = {}
    for name in times:
        alike.setdefault("".join(name.casefold().split()), []).append(name)
    found += [
        f"classes {' and '.join(map(repr, names))} differ in spaces or letter case alone: give "
        "them one name if they are one class"
        for names in alike.values()
        if len(names) > 1
    ]
    if undecoded := [name for name in times if "\ufffd" in name]:
        found.append(
            f"{len(undecoded)} class names hold bytes that are no UTF-8, such as {undecoded[0]}: "
            "save the labels as UTF-8"
        )
    return [Finding(False, sentence) for sentence in found]


def unlike(surveys: Sequence[Survey]) -> list[Finding]:
    """Find splits whose classes differ from those of the training split."""
    train = learned_from(surveys)
    return [
        Finding(
            True,
            f"{train.name} and {survey.name} differ in their classes: "
            f"{describe_difference(train.labels, survey.labels, train.name, survey.name)}; list "
            "the same classes in both, in one order",
        )
        for survey in surveys
        if not mean_the_same(train.labels, survey.labels)
    ]


def learned_from(surveys: Sequence[Survey]) -> Survey:
    """Return the split used for training."""
    return next((survey for survey in surveys if survey.name == "train"), surveys[0])


def unlearned(surveys: Sequence[Survey]) -> list[Finding]:
    """Find classes that are absent from, or rare in, the training split."""
    train = learned_from(surveys)
    names = np.array(train.labels.names)
    results = []
    missing = names[train.objects == 0].tolist()
    if missing:
        results.append(
            Finding(
                False,
                f"{train.name}: nothing of {counted(len(missing), 'class', 'classes')}: "
                f"{shortened(missing)}",
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
                    f"{survey.name} has {counted(len(new), 'class', 'classes')} that "
                    f"{train.name} never shows: {shortened(new)}; split anew",
                )
            )
    few = (train.objects > 0) & (train.objects < FEW) & np.array(train.labels.is_thing)
    rare = names[few].tolist()
    if rare:
        results.append(
            Finding(
                False,
                f"{train.name}: fewer than {FEW} objects each of "
                f"{counted(len(rare), 'class', 'classes')}: {shortened(rare)}",
            )
        )
    return results


def counted(count: int, one: str, many: str | None = None) -> str:
    """Format a number with its noun in singular or plural."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def shortened(names: Sequence[str | Path], most: int = 8) -> str:
    """Join the first few names, and state how many more there are."""
    listed = ", ".join(map(str, names[:most]))
    return listed if len(names) <= most else f"{listed}, and {len(names) - most} more"
