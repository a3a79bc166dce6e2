"""Lines about results: progress, what was found, and the highest scores where nothing was."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)

from unimask.errors import printable
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.results import Result

MAX_EMPTY_LISTED = 5
"""Largest number of images without segments whose highest scores are printed."""

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("{task.fields[rate]}"),
    TimeRemainingColumn(),
)
"""Columns of the progress bar of a prediction."""


def format_rate(speed: float | None) -> str:
    """Format the number of images per second."""
    return "" if speed is None else f"{speed:.1f} images/s"


def describe_segments(result: "Result") -> str:
    """Format the number of segments of each class, the most frequent first."""
    return describe_counts(Counter(segment.label for segment in result.segments))


def describe_counts(counts: Counter[str]) -> str:
    """Format the number of segments of each class, the most frequent first."""
    return ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "nothing"


def describe_candidates(path: str, result: "Result") -> str:
    """Format the highest scores of an image without segments."""
    scores = ", ".join(f"{label} {score:.2f}" for label, score in result.candidates)
    name = printable(Path(path).name)
    return f"{name}: nothing was found; highest scores: {scores} (see --threshold)"


def print_empty(console: Terminal, lines: Sequence[str]) -> None:
    """Print the highest scores of the first images without segments, and the number of others."""
    for line in lines[:MAX_EMPTY_LISTED]:
        console.print(line, soft_wrap=True)
    if len(lines) > MAX_EMPTY_LISTED:
        more = len(lines) - MAX_EMPTY_LISTED
        console.print(f"and {more} more images in which nothing was found")
