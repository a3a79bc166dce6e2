"""Levels of resolution of slides and other pyramids, and the choice of one."""

from collections.abc import Sequence
from typing import NamedTuple

from unimask.errors import ImageError

EQUAL_SHARE = 0.02
"""Largest relative difference of two resolutions that count as equal."""


class Level(NamedTuple):
    """A level of resolution.

    Attributes:
        size: Height and width in pixels.
        mpp: Micrometres per pixel, None if they are unknown.
    """

    size: tuple[int, int]
    mpp: float | None


class ChosenLevel(NamedTuple):
    """Number of a level, 0 for the finest, and pixels of the network's input per pixel of it."""

    number: int
    scale: float


def choose_level(
    levels: Sequence[Level], *, mpp: float | None, level: int | None, name: str
) -> ChosenLevel:
    """Choose the level to read for a resolution: the coarsest that is at least as fine.

    If all levels are coarser, the finest is enlarged.

    Args:
        levels: Levels of the image, the finest first.
        mpp: Micrometres per pixel of the network's input; None for those of the level.
        level: Index of the level; None to choose it by `mpp`, or the finest without.
        name: Name of the image in messages.

    Raises:
        ImageError: There is no such level, or `mpp` is passed and the file does not state its own.
    """
    if level is not None and not 0 <= level < len(levels):
        sizes = ", ".join(f"{n}: {size[1]}x{size[0]}" for n, (size, _) in enumerate(levels))
        raise ImageError(f"{name} has no level {level}: choose one of its levels ({sizes})")
    if mpp is None:
        return ChosenLevel(level or 0, 1.0)
    if levels[level or 0].mpp is None:
        raise ImageError(
            f"{name} does not state its micrometres per pixel: omit mpp (--mpp) and choose a level "
            "(--level) and a scale (--scale)"
        )
    index = level
    if index is None:
        fine = [
            n for n, item in enumerate(levels) if item.mpp and item.mpp <= mpp * (1 + EQUAL_SHARE)
        ]
        index = max(fine, key=lambda n: levels[n].mpp or 0) if fine else 0
    own = levels[index].mpp
    assert own is not None
    scale = own / mpp
    return ChosenLevel(index, 1.0 if abs(scale - 1) <= EQUAL_SHARE else scale)
