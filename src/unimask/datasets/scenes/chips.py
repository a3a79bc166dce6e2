"""Division of scenes into chips: square windows that are read as images."""

from unimask.errors import SettingsError
from unimask.tiling.windows import TileAxis, TileWindow

CHIP_SIDE = 512
"""Default side of chips in pixels."""

CHIP_SIDES = (64, 8192)
"""Smallest and largest side of chips in pixels."""

TRAINING_OVERLAP = 0.25
"""Overlap of neighbouring chips for training as a share of their side, so that an object that one
chip cuts is whole in another."""


def check_chip_side(side: int | None) -> int:
    """Return the side of chips, the default if it is None.

    Raises:
        SettingsError: It is out of range.
    """
    if side is None:
        return CHIP_SIDE
    if not isinstance(side, int) or not CHIP_SIDES[0] <= side <= CHIP_SIDES[1]:
        low, high = CHIP_SIDES
        raise SettingsError(f"chip is {side!r}: pass a side in pixels from {low} to {high}")
    return side


def divide_scene(size: tuple[int, int], side: int, *, overlapping: bool) -> list[TileWindow]:
    """Return the windows of the chips of a scene, row by row.

    Chips for training overlap, and the last ones are shifted back to end with the scene. Other
    chips cover each pixel once, and the last ones reach beyond the scene.

    Args:
        size: Height and width of the scene in pixels.
        side: Side of the chips in pixels.
        overlapping: Whether chips overlap.
    """
    if overlapping:
        overlap = round(TRAINING_OVERLAP * side)
        axes = [dict.fromkeys(TileAxis.divide(n, side, overlap).starts) for n in size]
    else:
        axes = [range(0, n, side) for n in size]
    return [TileWindow(row, column, side, side) for row in axes[0] for column in axes[1]]
