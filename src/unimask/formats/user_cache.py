"""Small JSON files in the user's cache folder: results that are computed once per machine."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from unimask.errors import OutputError
from unimask.formats.atomic import atomic_path

VARIABLE = "UNIMASK_CACHE"
"""Environment variable that names another cache folder."""


def cache_folder() -> Path | None:
    """Return unimask's folder in the user's cache folder; None for users without a home."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).expanduser()
    if sys.platform == "win32" and "LOCALAPPDATA" in os.environ:
        return Path(os.environ["LOCALAPPDATA"]) / "unimask"
    try:
        caches = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    except RuntimeError:
        return None
    return Path(os.environ.get("XDG_CACHE_HOME") or caches) / "unimask"


def cached_numbers(
    name: str,
    key: Mapping[str, Any],
    fields: tuple[str, ...],
    compute: Callable[[], Mapping[str, float]],
) -> dict[str, float]:
    """Return positive numbers from the cache, or compute and store them.

    Each key has a file of its own, which is replaced as a whole: processes that compute the same
    numbers at the same time do not disturb each other. A damaged file, or one of another key, is
    replaced; in a folder that cannot be read or written, numbers are computed anew each time.

    Args:
        name: Beginning of the file's name.
        key: JSON values that the numbers depend on.
        fields: Names of the numbers.
        compute: Function that computes the numbers.
    """
    folder = cache_folder()
    if folder is None:
        return dict(compute())
    # A round trip, so that the key compares equal to what is read.
    text = json.dumps(key, sort_keys=True)
    path = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    stored = read_numbers(path, json.loads(text))
    if stored is not None and stored.keys() == set(fields):
        return stored
    numbers = dict(compute())
    with suppress(OutputError), atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"key": key, "numbers": numbers}, indent=1) + "\n")
    return numbers


def read_numbers(path: Path, key: Any) -> dict[str, float] | None:
    """Read the numbers of a key; None if the file is missing, damaged, or of another key."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("key") != key:
        return None
    numbers = content.get("numbers")
    if not isinstance(numbers, dict) or not all(map(is_positive, numbers.values())):
        return None
    return {name: float(value) for name, value in numbers.items()}


def is_positive(value: object) -> bool:
    """Return whether a JSON value is a positive finite number."""
    return isinstance(value, int | float) and 0 < value < float("inf")
