"""Where the pictures are that a file of labels names."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

from PIL import Image

from unimask.errors import DataError
from unimask.processing.orientation import SWAPS_SIDES, read_orientation
from unimask.processing.pictures import SUFFIXES, is_picture, no_limit_of_pil, read_picture

TIFF_WIDTH, TIFF_HEIGHT = 256, 257
"""Tags of the stored size; newer releases of pillow tell the upright one as `size`."""

DEEPEST = 3
"""Levels of folders that are searched for pictures."""


def find_pictures(names: Sequence[str], folders: Iterable[Path], source: Path) -> list[Path]:
    """Give the file of each name.

    Names are taken relative to the folder in which most of them are. Where none is in any, the
    labels were moved and keep another machine's paths: then the last part of each name is looked
    for in these folders and below them.

    Args:
        names: As the labels have them.
        folders: Where pictures may be, the likeliest first.
        source: The labels, for messages.

    Raises:
        DataError: A picture is missing, or two are called alike in different folders.
    """
    roots = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
    plain = [PureWindowsPath(name).as_posix() for name in names]
    likely = [root for root in roots if plain and (root / plain[0]).is_file()]
    paths, missing = list(map(Path, plain)), list(range(len(plain)))
    for root in likely or roots:
        here = [root / name for name in plain]
        absent = missing_of(here)
        if len(absent) < len(missing):
            paths, missing = here, absent
        if not missing:
            return paths
    if len(missing) == len(names):
        paths, missing = by_last_part(plain, roots, source)
    if missing:
        raise DataError(
            f"{source} names {names[missing[0]]!r}, which is in none of "
            f"{', '.join(map(str, roots))} ({len(missing)} of {len(names)} pictures are missing): "
            "add them, or take them out of the labels"
        )
    return paths


def missing_of(paths: Sequence[Path]) -> list[int]:
    """Say which files are not there; each folder is listed once."""
    listed = {folder: names_in(folder) for folder in {path.parent for path in paths}}
    return [i for i, path in enumerate(paths) if path.name not in listed[path.parent]]


def names_in(folder: Path) -> frozenset[str]:
    """List a folder; one that is not there holds nothing."""
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def by_last_part(
    names: Sequence[str], roots: Sequence[Path], source: Path
) -> tuple[list[Path], list[int]]:
    """Give files by the last part of their names, and say which are not there."""
    lasts = [name.rsplit("/", 1)[-1] for name in names]
    known = files_below(roots)
    missing = [i for i, name in enumerate(lasts) if name not in known]
    if len(set(lasts)) < len(lasts) and len(missing) < len(lasts):
        raise DataError(
            f"{source} names pictures in folders that are not here, such as {names[0]!r}, and some "
            "are called alike: bring the folders back, or rename the pictures"
        )
    return [known.get(name, Path(name)) for name in lasts], missing


def files_below(roots: Sequence[Path]) -> dict[str, Path]:
    """Give files by name; of several of one name, that of the first folder."""
    known: dict[str, Path] = {}
    for root in roots:
        for folder, inner, files in os.walk(root):
            inner.sort()
            if len(Path(folder).relative_to(root).parts) >= DEEPEST:
                inner.clear()
            for name in files:
                known.setdefault(name, Path(folder, name))
    return known


def pictures_below(folder: Path) -> list[Path]:
    """Give all pictures in a folder and below it, by name."""
    return sorted(path for path in folder.rglob("*") if is_picture(path, SUFFIXES))


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
