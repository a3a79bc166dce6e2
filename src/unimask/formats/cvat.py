"""CVAT for images 1.1: the elements of its XML."""

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from unimask.errors import OutputError
from unimask.formats.corner_polygons import join_polygons
from unimask.formats.outlines import OutlineStyle, crop_mask, outline_parts, pixel_box
from unimask.formats.run_length import RunLength, find_runs

SCORE_ATTRIBUTE = "score"
"""Attribute of shapes that holds the confidence, declared with each label."""

SCORE_DECIMALS = 6

INVALID_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold, not even escaped."""


def cvat_shapes(
    label: str,
    rle: RunLength,
    *,
    group_id: int | None = None,
    z_order: int = 0,
    score: float | None = None,
    outlines: OutlineStyle = "simple",
) -> str:
    """Return the XML of one object: a polygon per connected part, or a mask if it has holes.

    CVAT's polygons have no holes, and its masks are exact and edited with a brush.

    Args:
        label: Name of the class.
        rle: Mask.
        group_id: Number that the parts of an object of several parts share, by which CVAT exports
            them as one; None if each part is an object of its own.
        z_order: Order in which CVAT draws; greater ones are in front.
        score: Confidence from 0 to 1; None for none.
        outlines: "simple" for outlines of few vertices, "exact" for those of the pixels.
    """
    parts = outline_parts(rle, outlines)
    common = f'label={attribute(label)} source="auto" occluded="0"'
    value = "" if score is None else f"{score:.{SCORE_DECIMALS}f}"
    inner = f'<attribute name="{SCORE_ATTRIBUTE}">{value}</attribute>' if value else ""
    if any(part.holes for part in parts):
        return f'<mask {common} {mask_attributes(rle)} z_order="{z_order}">{inner}</mask>\n'
    group = f' group_id="{group_id}"' if group_id is not None and len(parts) > 1 else ""
    return "".join(
        f'<polygon {common} points="{point_text(join_polygons(list(part.loops)))}" '
        f'z_order="{z_order}"{group}>{inner}</polygon>\n'
        for part in parts
    )


def mask_attributes(rle: RunLength) -> str:
    """Return a mask as attributes: its box, and run lengths along rows, beginning with zeros."""
    left, top, right, bottom = box = pixel_box(rle)
    flat = crop_mask(rle, box).ravel()
    runs = find_runs(flat.astype(np.uint8))
    lengths = [0, *runs.lengths.tolist()] if len(flat) and flat[0] else runs.lengths.tolist()
    return (
        f'rle="{", ".join(map(str, lengths))}" left="{left}" top="{top}" '
        f'width="{right - left}" height="{bottom - top}"'
    )


def point_text(points: np.ndarray) -> str:
    """Return points as CVAT writes them."""
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in points.tolist())


def cvat_image(
    number: int, name: str, size: tuple[int, int], shapes: Sequence[str], subset: str = ""
) -> str:
    """Return the element of one image.

    Args:
        number: Number of the image in the file, counted from 0.
        name: File name of the image.
        size: Height and width in pixels.
        shapes: XML of its shapes.
        subset: Subset of the project, such as "train"; empty for none.
    """
    subset_text = f" subset={attribute(subset)}" if subset else ""
    head = f'<image id="{number}" name={attribute(name)}{subset_text} width="{size[1]}"'
    return f'{head} height="{size[0]}">\n{"".join(shapes)}</image>\n'


def cvat_meta(
    name: str,
    labels: Sequence[tuple[str, tuple[int, int, int]]],
    *,
    images: int,
    has_scores: bool,
) -> str:
    """Return the beginning of the file, to which the images and `</annotations>` are appended.

    Args:
        name: Name of the task.
        labels: Name and colour of each class.
        images: Number of images.
        has_scores: Whether shapes have scores, so that labels declare the attribute.
    """
    score = (
        f"<attribute><name>{SCORE_ATTRIBUTE}</name><mutable>False</mutable>"
        "<input_type>text</input_type><default_value></default_value><values></values></attribute>"
        if has_scores
        else ""
    )
    elements = "".join(
        f"<label><name>{text(label)}</name><color>#{bytes(colour).hex()}</color><type>any</type>"
        f"<attributes>{score}</attributes></label>\n"
        for label, colour in labels
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        f"<meta><task><name>{text(name)}</name><size>{images}</size><mode>annotation</mode>\n"
        f"<labels>\n{elements}</labels></task></meta>\n"
    )


def attribute(value: str) -> str:
    """Return the quoted value of an attribute.

    Raises:
        OutputError: It has characters that XML cannot hold.
    """
    return quoteattr(check_characters(value))


def text(value: str) -> str:
    """Return text between elements.

    Raises:
        OutputError: It has characters that XML cannot hold.
    """
    return escape(check_characters(value))


def check_characters(value: str) -> str:
    """Return text after checking that XML can hold it.

    Raises:
        OutputError: It has other characters.
    """
    if INVALID_XML.search(value):
        raise OutputError(f"{value!r} has characters that XML cannot hold: rename it")
    return value
