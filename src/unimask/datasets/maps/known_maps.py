"""Recognise public maps that come without a class table, or with one of other colours."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unimask.datasets.maps.class_table import Row
from unimask.label_sets import known_labels
from unimask.labels import IGNORE_LABEL

VOID = "void"

MIN_CLASS_SHARE = 0.75
"""Minimum share of a dataset's classes that occur in maps recognised as its maps."""


@dataclass(frozen=True, slots=True)
class KnownMaps:
    """Label maps of a public dataset.

    Attributes:
        name: Name of the maps for notes to the user.
        labels: Name of the label set; in maps of values the first class is 0.
        coloured: Whether the maps store colours.
        void: Values or packed colours of unlabelled pixels.
        files: Pattern that every file stem matches; None for any name.
    """

    name: str
    labels: str
    coloured: bool
    void: tuple[int, ...]
    files: re.Pattern[str] | None = None

    def rows(self) -> list[tuple[Row, int]]:
        """Return each class, and each void entry, with its value or packed colour."""
        labels = known_labels(self.labels)
        colours = [
            red << 16 | green << 8 | blue for red, green, blue in filter(None, labels.colours)
        ]
        codes = colours if self.coloured else range(len(labels))
        classes_with_colour = zip(labels.names, colours, codes, strict=True)
        classes = [(Row(name, colour), code) for name, colour, code in classes_with_colour]
        return [*classes, *((Row(VOID), code) for code in self.void)]


KNOWN_MAPS = (
    KnownMaps(
        "CamVid in SegNet's eleven classes",
        labels="camvid",
        coloured=False,
        void=(11,),
        files=re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_f?\d+.*"),
    ),
    KnownMaps(
        "Humans in the Loop's aerial images of Dubai",
        labels="dubai_aerial",
        coloured=True,
        void=(0x9B9B9B, 0),  # "unlabelled", and pixels that were never painted
    ),
)
"""Maps published without a table, or with a table whose colours differ from those of the maps."""


def recognise_maps(
    values: Sequence[int], paths: Sequence[Path], *, coloured: bool
) -> KnownMaps | None:
    """Recognise the dataset of maps by all their values or colours, and by the names of the files.

    Args:
        values: All values or packed colours of the maps.
        paths: Files of the maps.
        coloured: Whether `values` are packed colours.

    Returns:
        The recognised maps; None if there are none.
    """
    value_set = set(values) - (set() if coloured else {IGNORE_LABEL})
    for candidate in KNOWN_MAPS:
        codes = {code for _, code in candidate.rows()}
        class_share = len(value_set - set(candidate.void)) / (len(codes) - len(candidate.void))
        has_values = (
            candidate.coloured == coloured and value_set <= codes and class_share >= MIN_CLASS_SHARE
        )
        if has_values and (
            candidate.files is None or all(candidate.files.fullmatch(p.stem) for p in paths)
        ):
            return candidate
    return None
