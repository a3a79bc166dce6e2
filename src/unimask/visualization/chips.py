"""Placement of small labels on objects, without overlaps and within the image."""

from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from unimask.labels import Colour

Box = tuple[float, float, float, float]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Chip:
    """A label to be placed on an object.

    Attributes:
        text: Text of the label.
        box: Bounding box of the object: x0, y0, x1, y1 in pixels of the drawing.
        colour: Colour of the object.
    """

    text: str
    box: Box
    colour: Colour


def load_font(size: float) -> Font:
    """Return the font that Pillow includes, at a size in pixels."""
    return ImageFont.load_default(size)


def chip_size(text: str, font: Font) -> tuple[float, float]:
    """Compute the width and height of a label in pixels."""
    left, top, right, bottom = font.getbbox(text)
    pad = (bottom - top) * 0.35
    return right - left + 2 * pad, bottom - top + 2 * pad


def place_chips(chips: list[Chip], font: Font, size: tuple[int, int]) -> list[tuple[Chip, Box]]:
    """Place each label at a free position on its object; labels without one are omitted.

    Args:
        chips: Labels in order of descending importance.
        font: Font of the text.
        size: Height and width of the drawing in pixels.
    """
    placed: list[tuple[Chip, Box]] = []
    for chip in chips:
        width, height = chip_size(chip.text, font)
        for x, y in candidate_corners(chip.box, width, height):
            box = (x, y, x + width, y + height)
            inside = x >= 0 and y >= 0 and box[2] <= size[1] and box[3] <= size[0]
            if inside and not any(boxes_overlap(box, other) for _, other in placed):
                placed.append((chip, box))
                break
    return placed


def candidate_corners(box: Box, width: float, height: float) -> list[tuple[float, float]]:
    """List the top left corners to try: centre, above, below, and the inner corners."""
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


def boxes_overlap(first: Box, second: Box) -> bool:
    """Return whether two boxes overlap."""
    return bool(
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )


def draw_chips(
    image: Image.Image,
    placed: list[tuple[Chip, Box]],
    font: Font,
) -> None:
    """Draw the labels onto the image, dark with a border in the object's colour."""
    draw = ImageDraw.Draw(image, "RGBA")
    for chip, box in placed:
        radius = (box[3] - box[1]) * 0.3
        draw.rounded_rectangle(box, radius, fill=(16, 18, 22, 205), outline=(*chip.colour, 255))
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        draw.text(centre, chip.text, (255, 255, 255), font, anchor="mm")
