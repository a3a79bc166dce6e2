"""Segments drawn over their picture."""

from collections import Counter
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
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
from unimask.visualization.legend import Entry, add_legend
from unimask.visualization.palette import class_colour, shade

SMALL = 720
"""Pictures whose longer side is shorter are enlarged by a whole factor."""

FEW = 12
"""With more counted objects, only those that can carry a label inside get one."""

MOST_CHIPS = 60
"""With more counted objects, labels would hide the picture: the legend counts them."""


MOST_CHARACTERS = 60
"""Of a name: a legend is no wider than that."""


class Shape(NamedTuple):
    """What is drawn: `starts` and `lengths` are the mask's runs, down the columns.

    `counted` is True for objects that are told apart; the others take their class's colour, which
    is `given`, or chosen by the palette.
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
        """Pixels."""
        return int(self.lengths.sum())


def draw_overlay(
    image: UInt8[np.ndarray, "h w 3"], shapes: list[Shape], *, legend: bool = True
) -> Image.Image:
    """Draw fills, contours, labels and a legend; large shapes lie below small ones."""
    named = [shape._replace(name=drawn_name(shape.name)) for shape in shapes]
    order = sorted(named, key=lambda shape: (shape.counted, -shape.area))
    colours = colours_of(order)
    height, width = image.shape[:2]
    factor = max(1, round(SMALL / max(height, width)))
    index = paint(order, (height, width)).repeat(factor, 0).repeat(factor, 1)
    canvas = enlarge(image, factor)
    thickness = max(1, round(max(canvas.shape[:2]) / 700))
    opacity = np.array([0.0, *map(opacity_of, order)], np.float32)
    tints = np.array([(0, 0, 0), *colours], np.float32)
    blended = blend(canvas, index, tints, opacity, thickness)
    picture = Image.fromarray(blended)
    font_size = float(np.clip(max(canvas.shape[:2]) / 55, 12, 60))
    add_chips(picture, order, colours, factor, font_size)
    if not legend:
        return picture
    return add_legend(picture, entries_of(order, height * width), font_size)


def drawn_name(name: str) -> str:
    """Return a name as one short line: in files, names may hold anything."""
    text = printable(name)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


def opacity_of(shape: Shape) -> float:
    """Give the share of the fill; given colours, often dark, must cover more to be recognised."""
    if shape.given is None:
        return 0.38 if shape.counted else 0.26
    return 0.55 if shape.counted else 0.45


def colours_of(shapes: list[Shape]) -> list[Colour]:
    """Give every shape its colour."""
    seen: Counter[int] = Counter()
    colours = []
    for shape in shapes:
        if shape.counted:
            seen[shape.label_id] += 1
        number = seen[shape.label_id] if shape.counted else 0
        colours.append(shade(shape.label_id, number, shape.given))
    return colours


def paint(shapes: list[Shape], size: tuple[int, int]) -> Int[np.ndarray, "h w"]:
    """Give the number (from 1) of the topmost shape per pixel, 0 for none."""
    index = np.zeros(size[::-1], np.int32)
    flat = index.reshape(-1)
    for number, shape in enumerate(shapes, start=1):
        for start, length in zip(shape.starts.tolist(), shape.lengths.tolist(), strict=True):
            flat[start : start + length] = number
    return np.ascontiguousarray(index.T)


def enlarge(image: UInt8[np.ndarray, "h w 3"], factor: int) -> UInt8[np.ndarray, "i j 3"]:
    """Enlarge a small picture smoothly."""
    if factor == 1:
        return image
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def blend(
    canvas: UInt8[np.ndarray, "h w 3"],
    index: Int[np.ndarray, "h w"],
    colours: Float[np.ndarray, "n 3"],
    opacity: Float[np.ndarray, " n"],
    thickness: int,
) -> UInt8[np.ndarray, "h w 3"]:
    """Tint every shape and draw its inner border, bright on dark and dark on bright ground."""
    strength = opacity[index][..., None]
    blended = canvas * (1 - strength) + colours[index] * strength
    border = inner_border(index, thickness)
    blended[border] = 0.1 * blended[border] + 0.9 * contour_colours(canvas, index, colours)[border]
    return np.clip(np.rint(blended), 0, 255).astype(np.uint8)


def contour_colours(
    canvas: UInt8[np.ndarray, "h w 3"],
    index: Int[np.ndarray, "h w"],
    colours: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, "h w 3"]:
    """Give contours that stand out: lighter than the fill on dark shapes, darker on bright."""
    brightness = canvas.mean(2).ravel()
    counts = np.bincount(index.ravel(), minlength=len(colours)).clip(min=1)
    mean = np.bincount(index.ravel(), brightness, minlength=len(colours)) / counts
    # A dark colour takes more light, and already on a grey ground none: our own are all bright.
    dark = colours.mean(1) < 80
    light = np.where(dark, 0.65 - colours.mean(1) / 200, 0.25)[:, None]
    lighter = colours + (255 - colours) * light
    darker = colours * 0.62
    bright_from = np.where(dark, (lighter + darker).mean(1) / 2, 140)
    return np.where((mean < bright_from)[:, None], lighter, darker)[index]


def inner_border(index: Int[np.ndarray, "h w"], thickness: int) -> Bool[np.ndarray, "h w"]:
    """Mark pixels of a shape within `thickness` of another shape or of none."""
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
    picture: Image.Image,
    shapes: list[Shape],
    colours: list[Colour],
    factor: int,
    font_size: float,
) -> None:
    """Label the counted objects, largest first, unless there are too many."""
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
    draw_chips(picture, place_chips(chips, font, (picture.height, picture.width)), font)


def fits_inside(chip: Chip, font: Font) -> bool:
    """Say whether a label covers no more than its own object."""
    x0, y0, x1, y1 = chip.box
    width, height = chip_size(chip.text, font)
    return x1 - x0 >= width and y1 - y0 >= height


def entries_of(shapes: list[Shape], pixels: int) -> list[Entry]:
    """Count objects by class, and give stuff its share of the picture."""
    counts: Counter[tuple[Colour, str]] = Counter()
    areas: Counter[tuple[Colour, str]] = Counter()
    for shape in shapes:
        key = (class_colour(shape.label_id, shape.given), shape.name)
        (counts if shape.counted else areas)[key] += 1 if shape.counted else shape.area
    things = [Entry(colour, name, str(n)) for (colour, name), n in counts.most_common()]
    stuff = [Entry(colour, name, f"{n / pixels:.0%}") for (colour, name), n in areas.most_common()]
    return things + stuff
