"""Names of images that differ from those of their files in how they are written."""

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from unimask.processing.pictures import SUFFIXES


def match_names(paths: Sequence[Path], missing: Sequence[int]) -> dict[int, Path]:
    """Return the only file of nearly the name of each missing path, where there is one.

    Files that another path names exactly, or that several paths could mean, are not taken.
    """
    absent = set(missing)
    used = {path for index, path in enumerate(paths) if index not in absent}
    wanted: dict[Path, list[int]] = {}
    for index in missing:
        wanted.setdefault(paths[index].parent, []).append(index)
    found: dict[int, Path] = {}
    for folder, indices in wanted.items():
        free = [name for name in names_in(folder) if folder / name not in used]
        for form in FORMS:
            files, asked = by_form(free, form), by_form([paths[i].name for i in indices], form)
            for index in indices:
                key = form(paths[index].name)
                if index not in found and len(files.get(key, ())) == len(asked[key]) == 1:
                    found[index] = folder / files[key][0]
    return found


def names_in(folder: Path) -> frozenset[str]:
    """List a folder; one that is not there holds nothing."""
    try:
        return frozenset(os.listdir(folder))
    except (OSError, ValueError):
        return frozenset()


def by_form(names: Iterable[str], form: Callable[[str], str]) -> dict[str, list[str]]:
    """Return names by a normal form of theirs."""
    known: dict[str, list[str]] = {}
    for name in names:
        known.setdefault(form(name), []).append(name)
    return known


def composed(name: str) -> str:
    """Return a name with composed letters, as most systems but macOS write them."""
    return unicodedata.normalize("NFC", name)


def decoded(name: str) -> str:
    """Return a name without the percent encoding of addresses."""
    return composed(unquote(name))


def small(name: str) -> str:
    """Return a name in small letters."""
    return decoded(name).casefold()


def without_suffix(name: str) -> str:
    """Return a name in small letters, with one suffix in place of that of any kind of image."""
    stem, suffix = os.path.splitext(small(name))
    return f"{stem}.image" if suffix in SUFFIXES else small(name)


FORMS = (composed, decoded, small, without_suffix)
"""Normal forms of names, the strictest first."""
