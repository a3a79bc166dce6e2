"""List the files of published layouts by the key that an image and its labels share."""

import os
import re
from pathlib import Path

from unimask.datasets.image_files import walk_folders
from unimask.datasets.maps.file_sets import MAP_SUFFIXES
from unimask.datasets.maps.partners import Pairs
from unimask.errors import DataError
from unimask.processing.images import IMAGE_SUFFIXES

MAX_LIST_BYTES = 2**28
"""Maximum size of a list of images in bytes."""


def images_by_key(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Return the images below a folder by their path in it, without the suffix.

    Args:
        folder: Folder of the images; it may not exist.
        suffixes: Suffixes of the files.
    """
    files: dict[str, Path] = {}
    for place, names in walk_folders(folder):
        inner = place.relative_to(folder)
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in suffixes:
                files.setdefault((inner / stem).as_posix(), place / name)
    return files


def maps_by_key(folder: Path) -> dict[str, Path]:
    """Return the label maps below a folder by their path in it, without the suffix.

    Of files that differ only in their suffix, images take precedence over arrays.
    """
    return images_by_key(folder, MAP_SUFFIXES - {".npy", ".npz"}) or images_by_key(
        folder, MAP_SUFFIXES
    )


def pair_by_key(images: dict[str, Path], maps: dict[str, Path]) -> Pairs:
    """Pair images with maps of the same key."""
    pairs = Pairs()
    pairs.add(images, maps)
    return pairs


def read_key_list(path: Path) -> list[str]:
    """Read a list of images: the first word of each line, or the words in quotes at its start.

    Raises:
        DataError: The list cannot be read.
    """
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise DataError(f"{path} has more than {MAX_LIST_BYTES} bytes: a list names images")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the file") from error
    matches = re.finditer(r'^[ \t]*(?:"([^"\n]+)"|(\S+))', text, re.MULTILINE)
    return [match[1] or match[2] for match in matches]
