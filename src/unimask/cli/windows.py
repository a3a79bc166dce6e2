"""Parser of the option --window, and grouping of warnings about value ranges."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unimask.errors import SettingsError

if TYPE_CHECKING:
    from unimask.config import Window


def parse_window(text: str | None) -> "Window":
    """Parse LOW,HIGH or auto.

    Raises:
        SettingsError: The text is neither, or LOW is not below HIGH.
    """
    if text is None or text == "auto":
        return text  # type: ignore[return-value]
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SettingsError(f"--window {text!r}: give LOW,HIGH such as 0,4095, or auto")
    if high <= low:
        raise SettingsError(f"--window {text}: LOW must be below HIGH")
    return low, high


@contextmanager
def one_line_per_range() -> Iterator[None]:
    """Group the range warnings of all images by cause and print one line per group at the end."""
    from unimask.processing.value_ranges import (
        ImageWarning,
        collect_range_warnings,
        group_range_warnings,
        summarise,
    )

    range_warnings = []
    try:
        with collect_range_warnings() as range_warnings:
            yield
    finally:
        for group in group_range_warnings(range_warnings):
            warnings.warn(summarise(group), ImageWarning, stacklevel=2)
