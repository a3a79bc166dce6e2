"""Contact sheet of selected images with the model's present predictions."""

from PIL import Image, ImageDraw

from unimask.curation.board import COLUMNS, TILE, arrange_tiles
from unimask.inference import Predictor
from unimask.selection.select import SelectedImage, Selection
from unimask.visualization.chips import load_font

MAX_TILES = 48
"""Largest number of images on a sheet."""

FONT_SIZE, CAPTION_HEIGHT = 15, 24
CAPTION_COLOUR, CAPTION_BACKGROUND = (235, 237, 240), (24, 26, 31)


def draw_contact_sheet(
    selection: Selection, predictor: Predictor, task: str | None = None
) -> Image.Image:
    """Draw the first selected images with the segments that the model predicts now.

    Args:
        selection: Selected images.
        predictor: Model that predicts the segments.
        task: Task of the predictions; by default the model's most general task.
    """
    shown = selection.images[:MAX_TILES]
    paths = [str(image.path) for image in shown]
    results = predictor.stream(paths, task, retain_confidence=False)
    tiles = [
        add_caption(result.plot(legend=False), number, image)
        for number, (image, result) in enumerate(zip(shown, results, strict=True), start=1)
    ]
    return arrange_tiles([tiles[i : i + COLUMNS] for i in range(0, len(tiles), COLUMNS)])


def add_caption(drawing: Image.Image, number: int, image: SelectedImage) -> Image.Image:
    """Reduce a drawing to a tile, and write its number and file name below it."""
    drawing.thumbnail((TILE, TILE - CAPTION_HEIGHT))
    tile = Image.new("RGB", (TILE, drawing.height + CAPTION_HEIGHT), CAPTION_BACKGROUND)
    tile.paste(drawing, ((TILE - drawing.width) // 2, 0))
    text, font = f"{number}  {image.path.name}", load_font(FONT_SIZE)
    while font.getlength(text) > TILE and len(text) > 1:
        text = text[:-2] + "\N{HORIZONTAL ELLIPSIS}"
    middle = drawing.height + CAPTION_HEIGHT / 2
    ImageDraw.Draw(tile).text((2, middle), text, CAPTION_COLOUR, font, anchor="lm")
    return tile
