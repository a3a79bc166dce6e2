"""Public maps that bring no table of their classes, or one of other colours: known by sight."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unimask.datasets.maps.class_table import Row
from unimask.label_sets import known_labels
from unimask.labels import IGNORE_LABEL

VOID = "void"

SHOWN = 0.75
"""Share of a set's classes that maps must have to be its maps."""


@dataclass(frozen=True, slots=True)
class KnownMaps:
    """Maps of a public dataset.

    Attributes:
        name: What a person calls them.
        labels: Their label set; in maps of values the first class is 0.
        coloured: Whether classes are colours.
        void: Values or packed colours of what is no class.
        files: What every file is called; None for any name.
    """

    name: str
    labels: str
    coloured: bool
    void: tuple[int, ...]
    files: re.Pattern[str] | None = None

    def rows(self) -> list[tuple[Row, int]]:
        """Give each class, and what is none, with its value or packed colour."""
        labels = known_labels(self.labels)
        colours = [
            red << 16 | green << 8 | blue for red, green, blue in filter(None, labels.colours)
        ]
        codes = colours if self.coloured else range(len(labels))
        named = zip(labels.names, colours, codes, strict=True)
        classes = [(Row(name, colour), code) for name, colour, code in named]
        return [*classes, *((Row(VOID), code) for code in self.void)]


KNOWN = (
    KnownMaps(
        "CamVid in SegNet's eleven classes",
        labels="camvid",
        coloured=False,
        void=(11,),
        files=re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_f?\d+.*"),
    ),
    KnownMaps(
        "Humans in the Loop's aerial pictures of Dubai",
        labels="dubai_aerial",
        coloured=True,
        void=(0x9B9B9B, 0),  # unlabelled, and what nobody painted
    ),
)
"""Published without a table, and with one whose colours are not those of the maps."""


def known_maps(values: Sequence[int], paths: Sequence[Path], *, coloured: bool) -> KnownMaps | None:
    """Say whose maps these are: by all their values or colours, and the names of files.

    Args:
        values: All values or packed colours of the maps.
        paths: The maps.
        coloured: Whether `values` are colours.
    """
    found = set(values) - (set() if coloured else {IGNORE_LABEL})
    for known in KNOWN:
        codes = {code for _, code in known.rows()}
        shown = len(found - set(known.void)) / (len(codes) - len(known.void))
        alike = known.coloured == coloured and found <= codes and shown >= SHOWN
        if alike and (known.files is None or all(known.files.fullmatch(p.stem) for p in paths)):
            return known
    return None
