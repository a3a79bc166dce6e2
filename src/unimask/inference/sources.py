"""Images to segment: one, several, or those of a folder or pattern."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from unimask.processing.images import (
    ImageWarning,
    Source,
    is_folder_or_pattern,
    list_images,
)

SHOWN = 3
"""Number of folders that a warning names."""


def list_sources(source: str | Path, *, recursive: bool = True) -> list[Path]:
    """List the images that a path, a folder or a pattern names, without the label maps beside them.

    Args:
        source: Path, folder or glob pattern.
        recursive: Whether subfolders of a folder are searched as well.

    Raises:
        ImageError: There are none.
    """
    paths = list_images(source, recursive=recursive)
    if len(paths) < 2:
        return paths
    # Imported here because single images do not need it.
    from unimask.datasets.maps.separate_maps import separate_maps

    root = Path(os.path.commonpath([path.parent for path in paths]))
    images, maps = separate_maps(paths, root)
    if maps:
        folders = sorted({str(path.parent) for path in maps})
        more = f" and {len(folders) - SHOWN} more folders" if len(folders) > SHOWN else ""
        warnings.warn(
            f"{len(maps)} label maps in {', '.join(folders[:SHOWN])}{more} are not segmented: pass "
            "that folder itself if they are images",
            ImageWarning,
            stacklevel=3,
        )
    return images


def is_single(images: object) -> bool:
    """Return whether an argument of `Predictor.predict` is one image rather than several."""
    if isinstance(images, str | Path):
        return not is_folder_or_pattern(images)
    return isinstance(images, Image.Image | np.ndarray) or not isinstance(images, Iterable)


def open_sources(images: Source | Iterable[Source]) -> Iterable[Source]:
    """Return the images that an argument of `Predictor.predict` names.

    Raises:
        ImageError: A folder or pattern has no images.
    """
    if is_single(images):
        return iter((cast(Source, images),))
    return (
        list_sources(images) if isinstance(images, str | Path) else cast(Iterable[Source], images)
    )
