"""Dilations of published DiNATs, which only the name of the file reveals."""

import re
from pathlib import Path

from unimask.errors import CheckpointError
from unimask.presets import (
    DINAT_DILATIONS,
    DINAT_DILATIONS_1280,
    DINAT_DILATIONS_CITYSCAPES,
    Dilations,
)

DILATIONS_BY_WORDS: tuple[tuple[frozenset[str], int, Dilations], ...] = (
    (frozenset({"1280x1280"}), 11, DINAT_DILATIONS_1280),
    (frozenset({"cityscapes"}), 7, DINAT_DILATIONS_CITYSCAPES),
    (frozenset({"ade20k", "ade", "coco", "mapillary"}), 11, DINAT_DILATIONS),
)
"""Words in the names of published files, kernel size, and dilations (OneFormer,
`configs/**/*dinat*.yaml`).
"""


def dilations_from_name(path: Path, kernel_size: int, depths: tuple[int, ...]) -> Dilations:
    """Return the dilations of the published network that a file is named after.

    Args:
        path: File of the weights.
        kernel_size: Side of the neighbourhood in tokens.
        depths: Number of blocks per level.

    Raises:
        CheckpointError: The name identifies no network, or one that does not fit the sizes.
    """
    name_words = frozenset(re.findall(r"[a-z0-9]+", path.name.lower()))
    for words, side, dilations in DILATIONS_BY_WORDS:
        fits = side == kernel_size and tuple(map(len, dilations)) == tuple(depths)
        if name_words & words and fits:
            return dilations
    raise CheckpointError(
        "the dilations of its DiNAT are in none of its tensors and do not follow from its name: "
        "include 1280x1280, cityscapes (neighbourhoods of 7), ade20k, coco or mapillary (of 11) in "
        "the name, as published, or use a folder whose config.json lists dilations"
    )
