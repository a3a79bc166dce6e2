"""Create the writer of a format by its name."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

from unimask.curation.writers.coco import CocoWriter
from unimask.curation.writers.coco_panoptic import CocoPanopticWriter
from unimask.curation.writers.cvat import CvatWriter
from unimask.curation.writers.geojson import GeojsonWriter
from unimask.curation.writers.instance_ids import InstanceIdWriter
from unimask.curation.writers.labelme import LabelmeWriter
from unimask.curation.writers.semantic import SemanticWriter
from unimask.curation.writers.writer import Writer
from unimask.curation.writers.yolo import YoloWriter
from unimask.errors import SettingsError
from unimask.formats.outlines import OutlineStyle
from unimask.labels import LabelSet

MASK_WRITERS: dict[str, Callable[[Path, LabelSet], Writer]] = {
    "coco": CocoWriter,
    "coco-panoptic": CocoPanopticWriter,
    "semantic": SemanticWriter,
    "instance-ids": InstanceIdWriter,
}
"""Writers of masks, which are always exact."""

POLYGON_WRITERS: dict[str, Callable[..., Writer]] = {
    "yolo": YoloWriter,
    "labelme": LabelmeWriter,
    "cvat": CvatWriter,
    "geojson": GeojsonWriter,
}
"""Writers of polygons, which may be simplified."""

FORMATS = (*MASK_WRITERS, *POLYGON_WRITERS)
"""Names of all formats."""


def check_format(to: str, outlines: str | None) -> None:
    """Test the names of a format and of a style of outlines.

    Raises:
        SettingsError: The format or the style is unknown, or the format has no outlines.
    """
    if to not in FORMATS:
        raise SettingsError(f"cannot convert to {to!r}: choose one of {', '.join(FORMATS)}")
    styles = get_args(OutlineStyle)
    if outlines is not None and outlines not in styles:
        raise SettingsError(f"unknown outlines {outlines!r}: choose one of {', '.join(styles)}")
    if outlines is not None and to in MASK_WRITERS:
        raise SettingsError(
            f"outlines={outlines!r} has no effect on {to}, whose masks are exact: omit it"
        )


def create_writer(
    to: str, out: Path, labels: LabelSet, outlines: OutlineStyle | None = None
) -> Writer:
    """Return a writer of a format.

    Args:
        to: Name of the format, one of `FORMATS`.
        out: Folder of the dataset.
        labels: Label set of the dataset.
        outlines: Style of polygons; None for the default of the format.

    Raises:
        DataError: The format cannot represent the label set.
    """
    if to in MASK_WRITERS:
        return MASK_WRITERS[to](out, labels)
    return POLYGON_WRITERS[to](out, labels, *([] if outlines is None else [outlines]))
