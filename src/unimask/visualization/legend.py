"""A panel beside the picture: colours, names, and how much of each there is."""

from dataclasses import dataclass

from PIL import Image, ImageDraw

from unimask.labels import Colour
from unimask.visualization.chips import font_of

BACKGROUND = (24, 26, 31)
TEXT = (235, 237, 240)
FAINT = (150, 155, 165)

DARK = 110
"""Colours without a channel as bright as this get an edge: the panel is dark too."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: a class and its amount, such as "12" or "31 %"."""

    colour: Colour
    name: str
    amount: str


def add_legend(picture: Image.Image, entries: list[Entry], font_size: float) -> Image.Image:
    """Put a panel to the right of the picture; lines that find no room are counted."""
    if not entries:
        return picture
    font = font_of(font_size)
    line = font_size * 1.7
    room = max(1, int((picture.height - line) // line))
    hidden = len(entries) - room
    if hidden > 0:
        entries = entries[: room - 1] if room > 1 else entries[:1]
        hidden_text = f"and {hidden + 1} more"
    else:
        hidden_text = ""
    names = max([font.getlength(entry.name) for entry in entries] + [font.getlength(hidden_text)])
    amounts = max(font.getlength(entry.amount) for entry in entries)
    width = int(names + amounts + 4.2 * line)
    height = max(picture.height, int(line * (len(entries) + bool(hidden_text) + 1)))
    board = Image.new("RGB", (picture.width + width, height), BACKGROUND)
    board.paste(picture, (0, 0))
    draw = ImageDraw.Draw(board)
    x, y = picture.width + line * 0.7, line
    for entry in entries:
        swatch = (x, y - line * 0.28, x + line * 0.56, y + line * 0.28)
        edge = FAINT if max(entry.colour) < DARK else None
        draw.rounded_rectangle(swatch, line * 0.12, fill=entry.colour, outline=edge)
        draw.text((x + line * 0.95, y), entry.name, TEXT, font, anchor="lm")
        draw.text((board.width - line * 0.7, y), entry.amount, FAINT, font, anchor="rm")
        y += line
    if hidden_text:
        draw.text((x + line * 0.95, y), hidden_text, FAINT, font, anchor="lm")
    return board
