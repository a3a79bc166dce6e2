"""Drawing of segments over their image."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt8
from PIL import Image

from unimask.errors import printable
from unimask.labels import Colour
from unimask.visualization.chips import (
    Chip,
    Font,
    chip_size,
    draw_chips,
    load_font,
    place_chips,
)
from unimask.visualization.legend import Entry, Legend
from unimask.visualization.palette import class_colour, object_colour

MIN_SIDE = 720
"""Images whose longer side has fewer pixels are enlarged by a whole factor."""

STRIP_PIXELS = 2**19
"""Number of pixels that are tinted at a time."""

MAX_UNFILTERED_CHIPS = 12
"""With more objects than this, only those large enough to contain their label get one.

Numbered ones get their number only.
"""

MAX_CHIPS = 60
"""With more objects than this, labels would hide the image: only the legend counts them."""


MAX_NAME_LENGTH = 60
"""Maximum length of a class name in the drawing, which bounds the width of the legend."""


class DrawnSegment(NamedTuple):
    """A segment to draw: `starts` and `lengths` are the runs of its mask in column-major order.

    `is_object` is True for objects that are distinguished from each other; other segments take the
    colour of their class, which is `dataset_colour`, or chosen by the palette if that is None.
    `number` is the number of an object within a sequence of images: it decides its colour, and is
    drawn instead of the score; None numbers the objects of the image.
    """

    name: str
    label_id: int
    is_object: bool
    score: float | None
    box: tuple[float, float, float, float]
    starts: Int[np.ndarray, " n"]
    lengths: Int[np.ndarray, " n"]
    dataset_colour: Colour | None = None
    number: int | None = None

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(self.lengths.sum())


def draw_overlay(
    image: UInt8[np.ndarray, "h w 3"],
    segments: list[DrawnSegment],
    *,
    legend: bool = True,
    legend_width: int | None = None,
) -> Image.Image:
    """Draw fills, contours, labels and a legend over an image; small segments are on top.

    Args:
        image: Image.
        segments: Segments.
        legend: Whether to draw a legend on the right, if there are segments.
        legend_width: Width of the legend in pixels, which is then drawn in any case, so that all
            frames of a video have one size; None for the width of its text.
    """
    renamed = [shape._replace(name=display_name(shape.name)) for shape in segments]
    order = sorted(renamed, key=lambda shape: (shape.is_object, -shape.area))
    height, width = image.shape[:2]
    factor = max(1, round(MIN_SIDE / max(height, width)))
    size = (height * factor, width * factor)
    font_size = choose_font_size(size)
    entries = legend_entries(order, height * width) if legend else []
    legend_panel = None
    if legend and (entries or legend_width):
        legend_panel = Legend.fit(entries, size[0], font_size, legend_width)
    board = legend_panel.create_canvas(size) if legend_panel else Image.new("RGB", size[::-1])
    tint_image(board, enlarge(image, factor), paint_index(order, (height, width)), order, factor)
    add_chips(board, size, order, segment_colours(order), factor, font_size)
    if legend_panel:
        legend_panel.draw(board, size)
    return board


def choose_font_size(size: tuple[int, int]) -> float:
    """Return the font size for a drawing of this height and width in pixels."""
    return float(np.clip(max(size) / 55, 12, 60))


def tint_image(
    board: Image.Image,
    canvas: UInt8[np.ndarray, "h w 3"],
    index: Integer[np.ndarray, "i j"],
    order: list[DrawnSegment],
    factor: int,
) -> None:
    """Draw the tinted image onto the board, in strips of rows.

    Args:
        board: Image whose top left part becomes the drawing; changed in place.
        canvas: Image, enlarged.
        index: Number of the topmost segment of each pixel, transposed and not enlarged.
        order: Segments in drawing order.
        factor: Factor by which the image is enlarged.
    """
    tints = np.array([(0, 0, 0), *segment_colours(order)], np.float32)
    opacity = np.array([0.0, *map(fill_opacity, order)], np.float32)
    height, width = canvas.shape[:2]
    thickness = max(1, round(max(height, width) / 700))
    strips = list(strips_with_border(height, max(1, STRIP_PIXELS // width), thickness))
    index_strips = ((rows, enlarged_rows(index, rows, factor)) for rows, _ in strips)
    contours = contour_colours(canvas, tints, index_strips)
    for rows, extended in strips:
        strip = enlarged_rows(index, extended, factor)
        border = inner_border(strip, thickness)
        inner = slice(rows.start - extended.start, rows.stop - extended.start)
        blended = blend(canvas[rows], strip[inner], border[inner], tints, contours, opacity)
        board.paste(Image.fromarray(blended), (0, rows.start))


def strips_with_border(height: int, rows: int, border: int) -> Iterator[tuple[slice, slice]]:
    """Yield strips of rows, each with the strip extended by `border` rows on both sides."""
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        yield slice(top, bottom), slice(max(0, top - border), min(height, bottom + border))


def enlarged_rows(
    index: Integer[np.ndarray, "w h"], rows: slice, factor: int
) -> Int[np.ndarray, "i j"]:
    """Return some rows of a transposed map, enlarged by a factor."""
    first, last = rows.start // factor, -(-rows.stop // factor)
    part = index[:, first:last].T.astype(np.int32).repeat(factor, 0).repeat(factor, 1)
    return np.ascontiguousarray(part[rows.start - first * factor : rows.stop - first * factor])


def display_name(name: str) -> str:
    """Return a class name as one short line of printable characters."""
    text = printable(name)
    return text if len(text) <= MAX_NAME_LENGTH else f"{text[: MAX_NAME_LENGTH - 3]}..."


def fill_opacity(segment: DrawnSegment) -> float:
    """Return the opacity of a fill; dataset colours, often dark, need more to be recognised."""
    if segment.dataset_colour is None:
        return 0.38 if segment.is_object else 0.26
    return 0.55 if segment.is_object else 0.45


def segment_colours(segments: list[DrawnSegment]) -> list[Colour]:
    """Return the colour of every segment."""
    numbers: Counter[int] = Counter()
    colours = []
    for segment in segments:
        if segment.is_object:
            numbers[segment.label_id] += 1
        number = numbers[segment.label_id] if segment.number is None else segment.number
        number = number if segment.is_object else 0
        colours.append(object_colour(segment.label_id, number, segment.dataset_colour))
    return colours


def paint_index(segments: list[DrawnSegment], size: tuple[int, int]) -> Integer[np.ndarray, "w h"]:
    """Return the number (from 1) of the topmost segment per pixel, 0 for none; transposed."""
    index = np.zeros(size[::-1], np.min_scalar_type(len(segments)))
    for number, segment in enumerate(segments, start=1):
        paint_runs(index, number, segment.starts, segment.lengths)
    return index


def paint_runs(
    target: Integer[np.ndarray, "w h"],
    value: int,
    starts: Int[np.ndarray, " n"],
    lengths: Int[np.ndarray, " n"],
) -> None:
    """Write a value into the runs of a mask.

    Args:
        target: Transposed map, changed in place.
        value: Value to write.
        starts: Start of each run in column-major order.
        lengths: Length of each run.
    """
    flat = target.reshape(-1)
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        flat[start : start + length] = value


def enlarge(image: UInt8[np.ndarray, "h w 3"], factor: int) -> UInt8[np.ndarray, "i j 3"]:
    """Enlarge a small image by a factor, with bicubic interpolation."""
    if factor == 1:
        return image
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def blend(
    canvas: UInt8[np.ndarray, "h w 3"],
    index: Int[np.ndarray, "h w"],
    border: Bool[np.ndarray, "h w"],
    colours: Float[np.ndarray, "n 3"],
    contours: Float[np.ndarray, "n 3"],
    opacity: Float[np.ndarray, " n"],
) -> UInt8[np.ndarray, "h w 3"]:
    """Blend the segments' fills into the image and draw their inner borders as contours."""
    strength = opacity[index][..., None]
    blended = canvas * (1 - strength) + colours[index] * strength
    blended[border] = 0.1 * blended[border] + 0.9 * contours[index[border]]
    return np.clip(np.rint(blended), 0, 255).astype(np.uint8)


def contour_colours(
    canvas: UInt8[np.ndarray, "h w 3"],
    colours: Float[np.ndarray, "n 3"],
    strips: Iterable[tuple[slice, Int[np.ndarray, "_ _"]]],
) -> Float[np.ndarray, "n 3"]:
    """Return contour colours: lighter than the fill on dark segments, darker on bright ones.

    Args:
        canvas: Image that the segments cover.
        colours: Colour of the background, and of each segment.
        strips: Rows, and the number of the segment at each of their pixels.
    """
    totals, counts = np.zeros(len(colours)), np.zeros(len(colours), np.int64)
    for rows, index in strips:
        flat = index.ravel()
        totals += np.bincount(flat, canvas[rows].sum(2).ravel(), minlength=len(colours))
        counts += np.bincount(flat, minlength=len(colours))
    mean = totals / (3 * counts.clip(min=1))
    # Dark colours need a lighter contour, and on grey areas none; the palette's colours are all
    # bright.
    dark = colours.mean(1) < 80
    light = np.where(dark, 0.65 - colours.mean(1) / 200, 0.25)[:, None]
    lighter = colours + (255 - colours) * light
    darker = colours * 0.62
    bright_from = np.where(dark, (lighter + darker).mean(1) / 2, 140)
    return np.where((mean < bright_from)[:, None], lighter, darker)


def inner_border(index: Int[np.ndarray, "h w"], thickness: int) -> Bool[np.ndarray, "h w"]:
    """Mark pixels of a segment within `thickness` of another segment or of the background."""
    border = np.zeros(index.shape, bool)
    for step in range(1, thickness + 1):
        down = index[step:] != index[:-step]
        across = index[:, step:] != index[:, :-step]
        border[step:] |= down
        border[:-step] |= down
        border[:, step:] |= across
        border[:, :-step] |= across
    return border & (index > 0)


def add_chips(
    board: Image.Image,
    size: tuple[int, int],
    segments: list[DrawnSegment],
    colours: list[Colour],
    factor: int,
    font_size: float,
) -> None:
    """Label the objects, largest first, unless there are too many."""
    objects = [(s, c) for s, c in zip(segments, colours, strict=True) if s.is_object]
    if not objects or len(objects) > MAX_CHIPS:
        return
    is_crowded = len(objects) > MAX_UNFILTERED_CHIPS
    chips = [
        Chip(
            chip_text(segment, is_crowded),
            tuple(side * factor for side in segment.box),  # type: ignore[arg-type]
            colour,
        )
        for segment, colour in sorted(objects, key=lambda pair: -pair[0].area)
    ]
    font = load_font(font_size)
    if is_crowded and any(segment.number is None for segment, _ in objects):
        chips = [chip for chip in chips if fits_inside(chip, font)]
    draw_chips(board, place_chips(chips, font, size), font)


def chip_text(segment: DrawnSegment, is_crowded: bool) -> str:
    """Return the label of an object: its class, and its number or else its score.

    Among many objects, the number alone.
    """
    if segment.number is not None:
        return str(segment.number) if is_crowded else f"{segment.name} {segment.number}"
    return segment.name if segment.score is None else f"{segment.name} {segment.score:.0%}"


def fits_inside(chip: Chip, font: Font) -> bool:
    """Return whether a label fits inside its object's box."""
    x0, y0, x1, y1 = chip.box
    width, height = chip_size(chip.text, font)
    return x1 - x0 >= width and y1 - y0 >= height


def legend_entries(segments: list[DrawnSegment], pixels: int) -> list[Entry]:
    """Build the legend's entries: the number of objects, and the share of the image for stuff."""
    counts: Counter[tuple[Colour, str]] = Counter()
    areas: Counter[tuple[Colour, str]] = Counter()
    for segment in segments:
        key = (class_colour(segment.label_id, segment.dataset_colour), segment.name)
        (counts if segment.is_object else areas)[key] += 1 if segment.is_object else segment.area
    things = [Entry(colour, name, str(n)) for (colour, name), n in counts.most_common()]
    stuff = [Entry(colour, name, f"{n / pixels:.0%}") for (colour, name), n in areas.most_common()]
    return things + stuff
