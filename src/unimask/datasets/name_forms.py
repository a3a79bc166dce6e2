"""Match image names with files whose names are spelled differently."""

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from unimask.processing.images import IMAGE_SUFFIXES


def match_names(paths: Sequence[Path], missing: Sequence[int]) -> dict[int, Path]:
    """Return the file of each missing path whose name matches in a normal form, if it is unique.

    Files that another path names exactly, or that several missing paths match, are not used.
    """
    absent = set(missing)
    used_paths = {path for index, path in enumerate(paths) if index not in absent}
    by_folder: dict[Path, list[int]] = {}
    for index in missing:
        by_folder.setdefault(paths[index].parent, []).append(index)
    matches: dict[int, Path] = {}
    for folder, indices in by_folder.items():
        unused = [name for name in list_names(folder) if folder / name not in used_paths]
        for form in NAME_FORMS:
            files, requests = (
                group_by_form(unused, form),
                group_by_form([paths[i].name for i in indices], form),
            )
            for index in indices:
                key = form(paths[index].name)
                if index not in matches and len(files.get(key, ())) == len(requests[key]) == 1:
                    matches[index] = folder / files[key][0]
    return matches


def list_names(folder: Path) -> frozenset[str]:
    """Return the names in a folder; none if the folder does not exist."""
    try:
        return frozenset(os.listdir(folder))
    except (OSError, ValueError):
        return frozenset()


def group_by_form(names: Iterable[str], form: Callable[[str], str]) -> dict[str, list[str]]:
    """Group names by their normal form."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(form(name), []).append(name)
    return groups


def compose_unicode(name: str) -> str:
    """Return a name in Unicode form NFC, which most systems except macOS write."""
    return unicodedata.normalize("NFC", name)


def decode_name(name: str) -> str:
    """Return a name with percent-encoding decoded."""
    return compose_unicode(unquote(name))


def casefold_name(name: str) -> str:
    """Return a name in lower case."""
    return decode_name(name).casefold()


def unify_suffix(name: str) -> str:
    """Return a name in lower case, with one common suffix for all image formats."""
    stem, suffix = os.path.splitext(casefold_name(name))
    return f"{stem}.image" if suffix in IMAGE_SUFFIXES else casefold_name(name)


def add_suffix(name: str) -> str:
    """Return a name as `unify_suffix` does, also where it has no suffix of an image."""
    name = unify_suffix(name)
    return name if name.endswith(".image") else f"{name}.image"


NAME_FORMS = (compose_unicode, decode_name, casefold_name, unify_suffix, add_suffix)
"""Normal forms of names, the strictest first."""
