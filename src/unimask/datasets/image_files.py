"""Find the image files that labels refer to, and ignore files that are not part of a dataset."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

from PIL import Image

from unimask.datasets.interface import warn_left_out
from unimask.datasets.name_forms import (
    compose_unicode,
    decode_name,
    list_names,
    match_names,
    unify_suffix,
)
from unimask.errors import DataError
from unimask.formats.output_folder import RECORD_NAME
from unimask.processing.image_listing import IMAGE_SUFFIXES, is_image
from unimask.processing.image_plugins import register_for_file
from unimask.processing.images import pil_limit_disabled, read_image
from unimask.processing.orientation import TRANSPOSED_ORIENTATIONS, read_orientation

TIFF_WIDTH, TIFF_HEIGHT = 256, 257
"""Tags of the stored width and height; newer releases of Pillow return the upright size as
`size`."""

SYSTEM_FILES = frozenset(["__macosx", "@eadir", "thumbs.db", "desktop.ini", "lost+found"])
"""Lower-case names of files that operating systems and archives leave beside data."""

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^/]*/(.*)", re.DOTALL)
"""A URL such as https://host/path or s3://bucket/path."""

MAX_SEARCH_DEPTH = 3
"""Maximum depth of folders that are searched for images."""


def is_ignored(name: str) -> bool:
    """Return whether a file or folder is not part of a dataset: hidden, or left by a program."""
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def data_subfolders(folder: Path, inner: Iterable[str]) -> list[str]:
    """Return the subfolders of a dataset, sorted, without hidden ones and those of results."""
    return sorted(n for n in inner if not is_ignored(n) and not (folder / n / RECORD_NAME).exists())


def walk_folders(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield the folders below a folder with their file names, sorted and without hidden ones.

    Symbolic links to folders are followed, but each folder is visited once.
    """
    visited: set[str] = set()
    for place, inner, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        inner[:] = [] if real in visited else data_subfolders(Path(place), inner)
        if real not in visited:
            yield Path(place), sorted(name for name in files if not is_ignored(name))
        visited.add(real)


def list_files(folder: Path, suffix: str) -> list[Path]:
    """Return all files with a suffix in a folder and below it, sorted, without hidden ones."""
    return sorted(
        place / name
        for place, names in walk_folders(folder)
        for name in names
        if name.lower().endswith(suffix)
    )


def find_images(names: Sequence[str], folders: Iterable[Path], source: Path) -> list[Path]:
    """Return the file of each image name.

    Names are relative to the folder that contains most of them. If no folder contains any, the
    labels were moved and hold another machine's paths; then the folders and those below them are
    searched for the longest existing end of each path. A name without a file matches the only file
    whose name differs just in Unicode form, percent-encoding, suffix or case, with a warning.

    Args:
        names: Image names as the labels spell them.
        folders: Folders that may hold the images, the most likely first.
        source: File of the labels, for messages.

    Raises:
        DataError: An image is missing, or two in different folders have the same name.
    """
    roots = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
    plain_names = [normalise_path(name) for name in names]
    likely_roots = [root for root in roots if plain_names and is_file(root / plain_names[0])]
    paths, missing = list(map(Path, plain_names)), list(range(len(plain_names)))
    for root in likely_roots or roots:
        candidates = [root / name for name in plain_names]
        absent = missing_indices(candidates)
        if len(absent) < len(missing):
            paths, missing = candidates, absent
        if not missing:
            return paths
    if len(missing) < len(names):
        return match_missing_names(names, paths, missing, source)
    for root in roots:
        candidates = [root / name for name in plain_names]
        if len(matches := match_names(candidates, missing)) == len(names):
            warn_about_matches(source, names, matches)
            return [matches[index] for index in range(len(names))]
    paths, missing = match_path_ends(plain_names, roots, source)
    if missing:
        raise missing_images_error(names, missing, [*roots], source)
    return paths


def normalise_path(name: str) -> str:
    """Return a name with forward slashes; a URL becomes its path, or the file it requests."""
    _, is_request, target = name.partition("?d=")
    if is_request:
        name = unquote(target)
    elif url := URL.match(name):
        name = unquote(re.split("[?#]", url[1])[0])
    return PureWindowsPath(name).as_posix()


def is_file(path: Path) -> bool:
    """Return whether a path is an existing file; invalid paths are not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def match_missing_names(
    names: Sequence[str], paths: list[Path], missing: Sequence[int], source: Path
) -> list[Path]:
    """Replace missing paths by files whose names match in a normal form.

    Raises:
        DataError: A path has no such file, or several.
    """
    matches = match_names(paths, missing)
    absent = [index for index in missing if index not in matches]
    if absent:
        raise missing_images_error(names, absent, [paths[absent[0]].parent], source)
    warn_about_matches(source, names, matches)
    return [matches.get(index, path) for index, path in enumerate(paths)]


def warn_about_matches(source: Path, names: Sequence[str], matches: Mapping[int, Path]) -> None:
    """Warn that files are used whose names differ from those in the labels."""
    index, path = next(iter(sorted(matches.items())))
    warn_left_out(
        f"{source} names {quote_name(names[index], path.name)}, which is taken to be {path.name!r} "
        f"({len(matches)} of {len(names)} names differ so from their files)"
    )


def quote_name(name: str, other: str) -> str:
    """Quote a name, with escape sequences if it would look the same as the other name."""
    return ascii(name) if compose_unicode(name) == compose_unicode(other) else repr(name)


def missing_images_error(
    names: Sequence[str], missing: Sequence[int], folders: Sequence[Path], source: Path
) -> DataError:
    """Build the error for missing images, with files of similar names."""
    name = names[missing[0]]
    last = normalise_path(name).rsplit("/", 1)[-1]
    similar = [
        n for place in folders for n in list_names(place) if unify_suffix(n) == unify_suffix(last)
    ]
    hint = f"; the folder has {' and '.join(sorted(map(ascii, similar))[:3])}" if similar else ""
    return DataError(
        f"{source} names {ascii(name) if similar else repr(name)}, which is in none of "
        f"{', '.join(map(str, folders))} ({len(missing)} of {len(names)} images are missing{hint})"
        ": add them, or take them out of the labels"
    )


def missing_indices(paths: Sequence[Path]) -> list[int]:
    """Return the indices of files that do not exist; each folder is listed once."""
    names_by_folder = {folder: list_names(folder) for folder in {path.parent for path in paths}}
    return [i for i, path in enumerate(paths) if path.name not in names_by_folder[path.parent]]


def match_path_ends(
    names: Sequence[str], roots: Sequence[Path], source: Path
) -> tuple[list[Path], list[int]]:
    """Return the file that shares the longest path end with each name, and the indices without one.

    Raises:
        DataError: Several names match the same file.
    """
    by_end = index_path_ends(roots)
    paths, missing = list(map(Path, names)), []
    for index, name in enumerate(names):
        ends = [*path_ends(name.split("/")), *path_ends(decode_name(name).split("/"))]
        end = next((end for end in ends if end in by_end), None)
        if end is None:
            missing.append(index)
        else:
            paths[index] = by_end[end]
    if len(set(paths)) < len(paths) and len(missing) < len(paths):
        raise DataError(
            f"{source} names images in folders that are not here, such as {names[0]!r}, and some "
            "have the same name: bring the folders back, or rename the images"
        )
    return paths, missing


def index_path_ends(roots: Sequence[Path]) -> dict[str, Path]:
    """Return files by the ends of their paths, down to `MAX_SEARCH_DEPTH` levels."""
    by_end: dict[str, Path] = {}
    for root in roots:
        for folder, inner, files in os.walk(root):
            inner[:] = sorted(name for name in inner if not is_ignored(name))
            if len(Path(folder).relative_to(root).parts) >= MAX_SEARCH_DEPTH:
                inner.clear()
            for name in files:
                for end in path_ends([*Path(folder).parts, name]):
                    by_end.setdefault(end, Path(folder, name))
    return by_end


def path_ends(parts: Sequence[str]) -> list[str]:
    """Return the joined last parts of a path, the longest first."""
    return [
        "/".join(parts[-count:]) for count in range(min(MAX_SEARCH_DEPTH + 1, len(parts)), 0, -1)
    ]


def list_images(folder: Path) -> list[Path]:
    """Return all images in a folder and below it, sorted, without hidden ones."""
    return sorted(
        path
        for place, names in walk_folders(folder)
        for path in (place / name for name in names)
        if is_image(path, IMAGE_SUFFIXES)
    )


def image_size(path: Path, channels: int) -> tuple[int, int]:
    """Return height and width of the upright image, from its header if possible.

    Raises:
        ImageError: The image cannot be read.
    """
    try:
        register_for_file(path)
        with pil_limit_disabled():
            image = Image.open(path)
        with image:
            tags = getattr(image, "tag_v2", {})
            width = tags.get(TIFF_WIDTH, image.width)
            height = tags.get(TIFF_HEIGHT, image.height)
        with path.open("rb") as stream:
            swaps_sides = read_orientation(stream) in TRANSPOSED_ORIENTATIONS
    except Exception:  # many types of exceptions; `read_image` raises one with a clear message
        height, width = read_image(path, channels=channels).shape[:2]
        return height, width
    return (width, height) if swaps_sides else (height, width)
