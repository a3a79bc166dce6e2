"""Warnings about value ranges of many images, grouped into one line per cause."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def grouped_range_warnings() -> Iterator[None]:
    """Group the range warnings of all images by cause and print one line per group at the end."""
    from unimask.processing.value_ranges import (
        ImageWarning,
        collect_range_warnings,
        format_range_warnings,
        group_range_warnings,
    )

    range_warnings = []
    try:
        with collect_range_warnings() as range_warnings:
            yield
    finally:
        for group in group_range_warnings(range_warnings):
            warnings.warn(format_range_warnings(group), ImageWarning, stacklevel=2)
