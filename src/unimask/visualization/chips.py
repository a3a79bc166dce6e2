"""Small labels on objects that neither hide each other nor leave the picture."""

from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from unimask.labels import Colour

Box = tuple[float, float, float, float]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Chip:
    """A label that wants a place.

    Attributes:
        text: What it says.
        box: The object, x0, y0, x1, y1 in pixels of the drawing.
        colour: The object's colour.
    """

    text: str
    box: Box
    colour: Colour


def font_of(size: float) -> Font:
    """Give the font that comes with Pillow."""
    return ImageFont.load_default(size)


def chip_size(text: str, font: Font) -> tuple[float, float]:
    """Give width and height of a chip."""
    left, top, right, bottom = font.getbbox(text)
    pad = (bottom - top) * 0.35
    return right - left + 2 * pad, bottom - top + 2 * pad


def place_chips(chips: list[Chip], font: Font, size: tuple[int, int]) -> list[tuple[Chip, Box]]:
    """Find each chip a free place at its object, the first chips first; some find none.

    Args:
        chips: The most important first.
        font: Of the text.
        size: Height and width of the drawing.
    """
    placed: list[tuple[Chip, Box]] = []
    for chip in chips:
        width, height = chip_size(chip.text, font)
        for x, y in candidates(chip.box, width, height):
            box = (x, y, x + width, y + height)
            inside = x >= 0 and y >= 0 and box[2] <= size[1] and box[3] <= size[0]
            if inside and not any(overlap(box, other) for _, other in placed):
                placed.append((chip, box))
                break
    return placed


def candidates(box: Box, width: float, height: float) -> list[tuple[float, float]]:
    """List top left corners to try: the middle, above, below, and the inner corners."""
    x0, y0, x1, y1 = box
    middle = (x0 + x1 - width) / 2
    return [
        (middle, (y0 + y1 - height) / 2),
        (middle, y0 - height),
        (middle, y1),
        (x0, y0),
        (x1 - width, y0),
        (x0, y1 - height),
        (x1 - width, y1 - height),
    ]


def overlap(first: Box, second: Box) -> bool:
    """Say whether two boxes share a pixel."""
    return bool(
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )


def draw_chips(
    picture: Image.Image,
    placed: list[tuple[Chip, Box]],
    font: Font,
) -> None:
    """Draw chips onto the picture: dark, with the object's colour as border."""
    draw = ImageDraw.Draw(picture, "RGBA")
    for chip, box in placed:
        radius = (box[3] - box[1]) * 0.3
        draw.rounded_rectangle(box, radius, fill=(16, 18, 22, 205), outline=(*chip.colour, 255))
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        draw.text(centre, chip.text, (255, 255, 255), font, anchor="mm")
