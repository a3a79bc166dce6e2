"""The dilations of published DiNATs: no tensor tells them, so the name of the file must."""

import re
from pathlib import Path

from unimask.errors import CheckpointError
from unimask.presets import CITYSCAPES, LARGE, USUAL, Dilations

PUBLISHED: tuple[tuple[frozenset[str], int, Dilations], ...] = (
    (frozenset({"1280x1280"}), 11, LARGE),
    (frozenset({"cityscapes"}), 7, CITYSCAPES),
    (frozenset({"ade20k", "ade", "coco", "mapillary"}), 11, USUAL),
)
"""Words in the names of published files, side of the neighbourhood, and dilations (OneFormer,
`configs/**/*dinat*.yaml`)."""


def told_dilations(path: Path, kernel_size: int, depths: tuple[int, ...]) -> Dilations:
    """Give the dilations of the published network that a file is called after.

    Args:
        path: The file.
        kernel_size: Side of the neighbourhood.
        depths: Blocks per level.

    Raises:
        CheckpointError: The name tells none, or one that this network cannot have.
    """
    told = frozenset(re.findall(r"[a-z0-9]+", path.name.lower()))
    for words, side, dilations in PUBLISHED:
        fits = side == kernel_size and tuple(map(len, dilations)) == tuple(depths)
        if told & words and fits:
            return dilations
    raise CheckpointError(
        "the dilations of its DiNAT are in none of its tensors, and its name does not tell them: "
        "have it called as published, with 1280x1280, cityscapes (neighbourhoods of 7), ade20k, "
        "coco or mapillary (of 11) in its name, or give a folder whose config.json lists dilations"
    )
