"""Where the images are that a file of labels names, and which files of a folder count at all."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

from PIL import Image

from unimask.datasets.found import tell
from unimask.datasets.name_forms import composed, match_names, names_in, without_suffix
from unimask.errors import DataError
from unimask.processing.orientation import SWAPS_SIDES, read_orientation
from unimask.processing.pictures import SUFFIXES, is_picture, no_limit_of_pil, read_picture

TIFF_WIDTH, TIFF_HEIGHT = 256, 257
"""Tags of the stored size; newer releases of pillow tell the upright one as `size`."""

LEFT_BEHIND = frozenset(["__macosx", "@eadir", "thumbs.db", "desktop.ini", "lost+found"])
"""Names, in small letters, of what systems and archives leave beside data."""

DEEPEST = 3
"""Levels of folders that are searched for pictures."""


def is_passed_over(name: str) -> bool:
    """Return whether a file or folder is no part of a dataset: hidden, or left by a program."""
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Return the folders below a folder and the names of their files, sorted, without hidden ones.

    Linked folders are followed, each once.
    """
    seen: set[str] = set()
    for place, inner, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        inner[:] = [] if real in seen else sorted(n for n in inner if not is_passed_over(n))
        if real not in seen:
            yield Path(place), sorted(name for name in files if not is_passed_over(name))
        seen.add(real)


def files_with(folder: Path, suffix: str) -> list[Path]:
    """Return all files of a suffix in a folder and below it, by name, without hidden ones."""
    return sorted(
        place / name
        for place, names in walk(folder)
        for name in names
        if name.lower().endswith(suffix)
    )


def find_pictures(names: Sequence[str], folders: Iterable[Path], source: Path) -> list[Path]:
    """Return the file of each name.

    Names are taken relative to the folder in which most of them are. Where none is in any, the
    labels were moved and keep another machine's paths: then as much of the end of each name as is
    there is looked for in these folders and below them. A name without a file stands for the only
    one whose name differs in its Unicode form, percent encoding, suffix or letter case; that is
    warned of.

    Args:
        names: As the labels have them.
        folders: Where images may be, the likeliest first.
        source: The labels, for messages.

    Raises:
        DataError: An image is missing, or two have one name in different folders.
    """
    roots = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
    plain = [plain_name(name) for name in names]
    likely = [root for root in roots if plain and is_file(root / plain[0])]
    paths, missing = list(map(Path, plain)), list(range(len(plain)))
    for root in likely or roots:
        here = [root / name for name in plain]
        absent = missing_of(here)
        if len(absent) < len(missing):
            paths, missing = here, absent
        if not missing:
            return paths
    if len(missing) < len(names):
        return match_missing(names, paths, missing, source)
    for root in roots:
        here = [root / name for name in plain]
        if len(matches := match_names(here, missing)) == len(names):
            warn_of_matches(source, names, matches)
            return [matches[index] for index in range(len(names))]
    paths, missing = by_last_parts(plain, roots, source)
    if missing:
        raise absent_error(names, missing, [*roots], source)
    return paths


def plain_name(name: str) -> str:
    """Return a name with slashes; of an address of Label Studio, the file that it asks for."""
    _, asks, asked = name.partition("?d=")
    name = unquote(asked) if asks else name
    return PureWindowsPath(name).as_posix()


def is_file(path: Path) -> bool:
    """Return whether a file is there; what can be no path is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def match_missing(
    names: Sequence[str], paths: list[Path], missing: Sequence[int], source: Path
) -> list[Path]:
    """Return paths of which the missing ones are replaced by files of nearly their names.

    Raises:
        DataError: One has no such file, or several.
    """
    matches = match_names(paths, missing)
    absent = [index for index in missing if index not in matches]
    if absent:
        raise absent_error(names, absent, [paths[absent[0]].parent], source)
    warn_of_matches(source, names, matches)
    return [matches.get(index, path) for index, path in enumerate(paths)]


def warn_of_matches(source: Path, names: Sequence[str], matches: Mapping[int, Path]) -> None:
    """Warn that files were taken whose names differ from the labels'."""
    index, path = next(iter(sorted(matches.items())))
    tell(
        f"{source} names {shown(names[index], path.name)}, which is taken to be {path.name!r} "
        f"({len(matches)} of {len(names)} names differ so from their files)"
    )


def shown(name: str, other: str) -> str:
    """Return a name in quotes, with escapes where it would look like another."""
    return ascii(name) if composed(name) == composed(other) else repr(name)


def absent_error(
    names: Sequence[str], missing: Sequence[int], folders: Sequence[Path], source: Path
) -> DataError:
    """Return the error that tells of missing images, and of files that are called nearly so."""
    name = names[missing[0]]
    last = plain_name(name).rsplit("/", 1)[-1]
    near = [
        n for place in folders for n in names_in(place) if without_suffix(n) == without_suffix(last)
    ]
    alike = f"; {' and '.join(sorted(map(ascii, near))[:3])} are there" if near else ""
    return DataError(
        f"{source} names {ascii(name) if near else repr(name)}, which is in none of "
        f"{', '.join(map(str, folders))} ({len(missing)} of {len(names)} images are missing{alike})"
        ": add them, or take them out of the labels"
    )


def missing_of(paths: Sequence[Path]) -> list[int]:
    """Return which files are not there; each folder is listed once."""
    listed = {folder: names_in(folder) for folder in {path.parent for path in paths}}
    return [i for i, path in enumerate(paths) if path.name not in listed[path.parent]]


def by_last_parts(
    names: Sequence[str], roots: Sequence[Path], source: Path
) -> tuple[list[Path], list[int]]:
    """Return the file with the longest end of each name, and which names have none.

    Raises:
        DataError: Several names would stand for one file.
    """
    known = ends_below(roots)
    paths, missing = list(map(Path, names)), []
    for index, name in enumerate(names):
        end = next((end for end in ends_of(name.split("/")) if end in known), None)
        if end is None:
            missing.append(index)
        else:
            paths[index] = known[end]
    if len(set(paths)) < len(paths) and len(missing) < len(paths):
        raise DataError(
            f"{source} names images in folders that are not here, such as {names[0]!r}, and some "
            "have the same name: bring the folders back, or rename the images"
        )
    return paths, missing


def ends_below(roots: Sequence[Path]) -> dict[str, Path]:
    """Return files by the ends of their paths, down to `DEEPEST` levels; the first of equals."""
    known: dict[str, Path] = {}
    for root in roots:
        for folder, inner, files in os.walk(root):
            inner[:] = sorted(name for name in inner if not is_passed_over(name))
            if len(Path(folder).relative_to(root).parts) >= DEEPEST:
                inner.clear()
            for name in files:
                for end in ends_of([*Path(folder).parts, name]):
                    known.setdefault(end, Path(folder, name))
    return known


def ends_of(parts: Sequence[str]) -> list[str]:
    """Return the last parts of a path, joined: the longest end first."""
    return ["/".join(parts[-count:]) for count in range(min(DEEPEST + 1, len(parts)), 0, -1)]


def files_below(roots: Sequence[Path]) -> dict[str, Path]:
    """Return files by name; of several of one name, that of the first folder."""
    return {end: path for end, path in ends_below(roots).items() if "/" not in end}


def pictures_below(folder: Path) -> list[Path]:
    """Return all images in a folder and below it, by name, without hidden ones."""
    return sorted(
        path
        for place, names in walk(folder)
        for path in (place / name for name in names)
        if is_picture(path, SUFFIXES)
    )


def picture_size(path: Path, channels: int) -> tuple[int, int]:
    """Give height and width of a picture, upright, by its header where that tells.

    Raises:
        ImageError: The picture cannot be read.
    """
    try:
        with no_limit_of_pil():
            picture = Image.open(path)
        with picture:
            tags = getattr(picture, "tag_v2", {})
            width = tags.get(TIFF_WIDTH, picture.width)
            height = tags.get(TIFF_HEIGHT, picture.height)
        with path.open("rb") as stream:
            turned = read_orientation(stream) in SWAPS_SIDES
    except Exception:  # decoders raise whatever their format suggests; the reader says it well
        height, width = read_picture(path, channels=channels).shape[:2]
        return height, width
    return (width, height) if turned else (height, width)
