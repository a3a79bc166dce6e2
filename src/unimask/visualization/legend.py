"""A legend beside the image: colours, class names and amounts."""

from dataclasses import dataclass

from PIL import Image, ImageDraw

from unimask.labels import Colour
from unimask.visualization.chips import load_font

BACKGROUND = (24, 26, 31)
TEXT = (235, 237, 240)
MUTED_TEXT = (150, 155, 165)

MAX_OUTLINED_VALUE = 110
"""Colours whose brightest channel is below this get an outline, because the panel is dark too."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a legend: a class and its amount, such as "12" or "31 %"."""

    colour: Colour
    name: str
    amount: str


@dataclass(frozen=True, slots=True)
class Legend:
    """A panel to the right of a drawing.

    Attributes:
        entries: Lines of the panel.
        hidden: Text that counts the entries beyond the panel's height; empty if all fit.
        width: Width in pixels.
        height: Height in pixels, at least that of the drawing.
        font_size: Font size of the lines in pixels.
    """

    entries: list[Entry]
    hidden: str
    width: int
    height: int
    font_size: float

    @classmethod
    def fit(
        cls, entries: list[Entry], height: int, font_size: float, width: int | None = None
    ) -> "Legend":
        """Build the legend for a drawing, with as many entries as fit.

        Args:
            entries: Lines of the panel.
            height: Height of the drawing in pixels.
            font_size: Font size in pixels.
            width: Width of the panel in pixels; None for that of its text.
        """
        font, line = load_font(font_size), font_size * 1.7
        max_entries = max(1, int((height - line) // line))
        hidden, text = len(entries) - max_entries, ""
        if hidden > 0:
            entries = entries[: max_entries - 1] if max_entries > 1 else entries[:1]
            text = f"and {hidden + 1} more"
        names = max([font.getlength(entry.name) for entry in entries] + [font.getlength(text)])
        amounts = max((font.getlength(entry.amount) for entry in entries), default=0.0)
        return cls(
            entries,
            text,
            int(names + amounts + 4.2 * line) if width is None else width,
            max(height, int(line * (len(entries) + bool(text) + 1))),
            font_size,
        )

    def create_canvas(self, size: tuple[int, int]) -> Image.Image:
        """Create an empty image for a drawing of this height and width and the panel beside it."""
        return Image.new("RGB", (size[1] + self.width, self.height), BACKGROUND)

    def draw(self, canvas: Image.Image, size: tuple[int, int]) -> None:
        """Draw the panel, and clear everything outside the drawing's height and width."""
        font, line = load_font(self.font_size), self.font_size * 1.7
        draw = ImageDraw.Draw(canvas)
        draw.rectangle((size[1], 0, *canvas.size), BACKGROUND)
        if size[0] < canvas.height:
            draw.rectangle((0, size[0], *canvas.size), BACKGROUND)
        x, y = size[1] + line * 0.7, line
        for entry in self.entries:
            swatch = (x, y - line * 0.28, x + line * 0.56, y + line * 0.28)
            edge = MUTED_TEXT if max(entry.colour) < MAX_OUTLINED_VALUE else None
            draw.rounded_rectangle(swatch, line * 0.12, fill=entry.colour, outline=edge)
            draw.text((x + line * 0.95, y), entry.name, TEXT, font, anchor="lm")
            draw.text((canvas.width - line * 0.7, y), entry.amount, MUTED_TEXT, font, anchor="rm")
            y += line
        if self.hidden:
            draw.text((x + line * 0.95, y), self.hidden, MUTED_TEXT, font, anchor="lm")
