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
    font_of,
    place_chips,
)
from unimask.visualization.legend import Entry, Legend
from unimask.visualization.palette import class_colour, shade

SMALL = 720
"""Images whose longer side has fewer pixels are enlarged by a whole factor."""

STRIP_PIXELS = 2**19
"""Number of pixels that are tinted at a time."""

FEW = 12
"""With more objects than this, only those large enough to contain their label get one."""

MOST_CHIPS = 60
"""With more objects than this, labels would hide the image: only the legend counts them."""


MOST_CHARACTERS = 60
"""Maximum length of a class name in the drawing, which bounds the width of the legend."""


class Shape(NamedTuple):
    """A segment to draw: `starts` and `lengths` are the runs of its mask in column-major order.

    `counted` is True for objects that are distinguished from each other; other segments take the
    colour of their class, which is `given`, or chosen by the palette if that is None.
    """

    name: str
    label_id: int
    counted: bool
    score: float | None
    box: tuple[float, float, float, float]
    starts: Int[np.ndarray, " n"]
    lengths: Int[np.ndarray, " n"]
    given: Colour | None = None

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(self.lengths.sum())


def draw_overlay(
    image: UInt8[np.ndarray, "h w 3"], shapes: list[Shape], *, legend: bool = True
) -> Image.Image:
    """Draw fills, contours, labels and a legend over an image; small segments are on top."""
    named = [shape._replace(name=drawn_name(shape.name)) for shape in shapes]
    order = sorted(named, key=lambda shape: (shape.counted, -shape.area))
    height, width = image.shape[:2]
    factor = max(1, round(SMALL / max(height, width)))
    size = (height * factor, width * factor)
    font_size = float(np.clip(max(size) / 55, 12, 60))
    entries = entries_of(order, height * width) if legend else []
    panel = Legend.fit(entries, size[0], font_size) if entries else None
    board = panel.board(size) if panel else Image.new("RGB", size[::-1])
    tint_image(board, enlarge(image, factor), paint(order, (height, width)), order, factor)
    add_chips(board, size, order, colours_of(order), factor, font_size)
    if panel:
        panel.draw(board, size)
    return board


def tint_image(
    board: Image.Image,
    canvas: UInt8[np.ndarray, "h w 3"],
    index: Integer[np.ndarray, "i j"],
    order: list[Shape],
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
    tints = np.array([(0, 0, 0), *colours_of(order)], np.float32)
    opacity = np.array([0.0, *map(opacity_of, order)], np.float32)
    height, width = canvas.shape[:2]
    thickness = max(1, round(max(height, width) / 700))
    strips = list(strips_with_border(height, max(1, STRIP_PIXELS // width), thickness))
    within = ((rows, enlarged_rows(index, rows, factor)) for rows, _ in strips)
    contours = contour_colours(canvas, tints, within)
    for rows, wider in strips:
        shapes = enlarged_rows(index, wider, factor)
        border = inner_border(shapes, thickness)
        inner = slice(rows.start - wider.start, rows.stop - wider.start)
        blended = blend(canvas[rows], shapes[inner], border[inner], tints, contours, opacity)
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


def drawn_name(name: str) -> str:
    """Return a class name as one short line of printable characters."""
    text = printable(name)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


def opacity_of(shape: Shape) -> float:
    """Return the opacity of a fill; dataset colours, often dark, need more to be recognised."""
    if shape.given is None:
        return 0.38 if shape.counted else 0.26
    return 0.55 if shape.counted else 0.45


def colours_of(shapes: list[Shape]) -> list[Colour]:
    """Return the colour of every segment."""
    numbers: Counter[int] = Counter()
    colours = []
    for shape in shapes:
        if shape.counted:
            numbers[shape.label_id] += 1
        number = numbers[shape.label_id] if shape.counted else 0
        colours.append(shade(shape.label_id, number, shape.given))
    return colours


def paint(shapes: list[Shape], size: tuple[int, int]) -> Integer[np.ndarray, "w h"]:
    """Return the number (from 1) of the topmost segment per pixel, 0 for none; transposed."""
    index = np.zeros(size[::-1], np.min_scalar_type(len(shapes)))
    for number, shape in enumerate(shapes, start=1):
        paint_runs(index, number, shape.starts, shape.lengths)
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
    shapes: list[Shape],
    colours: list[Colour],
    factor: int,
    font_size: float,
) -> None:
    """Label the objects, largest first, unless there are too many."""
    counted = [(s, c) for s, c in zip(shapes, colours, strict=True) if s.counted]
    if not counted or len(counted) > MOST_CHIPS:
        return
    chips = [
        Chip(
            shape.name if shape.score is None else f"{shape.name} {shape.score:.0%}",
            tuple(side * factor for side in shape.box),  # type: ignore[arg-type]
            colour,
        )
        for shape, colour in sorted(counted, key=lambda pair: -pair[0].area)
    ]
    font = font_of(font_size)
    if len(chips) > FEW:
        chips = [chip for chip in chips if fits_inside(chip, font)]
    draw_chips(board, place_chips(chips, font, size), font)


def fits_inside(chip: Chip, font: Font) -> bool:
    """Return whether a label fits inside its object's box."""
    x0, y0, x1, y1 = chip.box
    width, height = chip_size(chip.text, font)
    return x1 - x0 >= width and y1 - y0 >= height


def entries_of(shapes: list[Shape], pixels: int) -> list[Entry]:
    """Build the legend's entries: the number of objects, and the share of the image for stuff."""
    counts: Counter[tuple[Colour, str]] = Counter()
    areas: Counter[tuple[Colour, str]] = Counter()
    for shape in shapes:
        key = (class_colour(shape.label_id, shape.given), shape.name)
        (counts if shape.counted else areas)[key] += 1 if shape.counted else shape.area
    things = [Entry(colour, name, str(n)) for (colour, name), n in counts.most_common()]
    stuff = [Entry(colour, name, f"{n / pixels:.0%}") for (colour, name), n in areas.most_common()]
    return things + stuff
