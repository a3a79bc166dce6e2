"""Image files that paths, folders and glob patterns name."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from unimask.errors import ImageError
from unimask.formats.output_folder import RECORD_NAME

IMAGE_FORMATS = "avif bmp dcm gif heic heif hif jfif jp2 jpeg jpg jxl npy pgm png ppm tif tiff webp"
IMAGE_SUFFIXES = frozenset(f".{kind}" for kind in IMAGE_FORMATS.split())

LABEL_ENDINGS = ("_seg.npy",)
"""Endings of the names of files that have the suffix of an image, but hold labels (cellpose)."""


def is_folder_or_pattern(source: str | Path) -> bool:
    """Return whether a path is a folder or a glob pattern."""
    if str(source).startswith(("http://", "https://")):
        return False
    path = Path(source)
    return path.is_dir() or (any(mark in str(source) for mark in "*?[") and not path.exists())


def list_images(source: str | Path, *, recursive: bool = True) -> list[Path]:
    """List the images that a path, a folder or a glob pattern names, in sorted order.

    Hidden files and folders are skipped, and so are subfolders with results of unimask. A pattern
    whose last part has no suffix ("scans/*") matches only files with the suffix of an image.

    Args:
        source: Path, folder or glob pattern.
        recursive: Whether subfolders of a folder are searched as well.

    Raises:
        ImageError: There are none.
    """
    if source == "":  # an unset variable of a shell script; as a path it is the current folder
        raise ImageError("an empty path names no image: pass a file, a folder or a pattern")
    path, suffix_list = Path(source), " ".join(sorted(IMAGE_SUFFIXES))
    if path.is_dir():
        folders = [path, *(subfolders(path) if recursive else ())]
        try:
            images = [
                e for folder in folders for e in folder.iterdir() if is_image(e, IMAGE_SUFFIXES)
            ]
        except OSError as error:
            raise ImageError(f"{path} cannot be listed ({error}): check its permissions") from error
        if not images:
            raise ImageError(f"{path} holds no images ({suffix_list}): choose another folder")
        return sorted(images)
    if glob.has_magic(str(source)) and not path.exists():
        suffixes: frozenset[str] | None = None if path.suffix else IMAGE_SUFFIXES
        entries = map(Path, glob.iglob(str(source), recursive=True))
        images = [entry for entry in entries if is_image(entry, suffixes)]
        if not images:
            raise ImageError(f"no image fits {source}: check the pattern")
        return sorted(images)
    return [path]


def subfolders(folder: Path) -> Iterator[Path]:
    """Yield the visible folders below a folder, except those with results of unimask."""
    visited = {os.path.realpath(folder)}
    for place, inner, _ in os.walk(folder, followlinks=True):
        selected = []
        for name in sorted(inner):
            path = Path(place, name)
            real = os.path.realpath(path)
            if (
                not name.startswith(".")
                and real not in visited
                and not (path / RECORD_NAME).exists()
            ):
                visited.add(real)  # a link may lead back to a parent folder
                selected.append(name)
                yield path
        inner[:] = selected


def is_image(path: Path, suffixes: frozenset[str] | None) -> bool:
    """Return whether a path is a visible file with one of the suffixes, or any suffix if None."""
    fits = suffixes is None or (
        path.suffix.lower() in suffixes and not path.name.endswith(LABEL_ENDINGS)
    )
    return fits and not path.name.startswith(".") and path.is_file()
