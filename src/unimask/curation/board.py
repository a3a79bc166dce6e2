"""Labelled pictures side by side, so that a person sees what a dataset says."""

from itertools import count
from pathlib import Path

from PIL import Image

from unimask.datasets import Dataset
from unimask.datasets.truth import truth_result
from unimask.errors import UnimaskError
from unimask.formats.output_file import write_image
from unimask.labels import LabelSet, Task

ROWS, COLUMNS = 3, 4
TILE = 420
"""Longest side of a picture with its legend, in pixels."""

GAP, GROUND = 6, (24, 24, 24)


def draw_board(dataset: Dataset, path: Path, *, overwrite: bool = False) -> int:
    """Draw pictures from all over a dataset with their labels, and give how many.

    Pictures that cannot be read are passed over. Nothing is written where none can be.

    Args:
        dataset: Labelled pictures.
        path: The image to write.
        overwrite: Whether it may replace a file that unimask did not write.

    Raises:
        OutputError: It would replace a file that unimask did not write, or cannot be written.
    """
    tiles = readable_tiles(dataset, ROWS * COLUMNS)
    if not tiles:
        return 0
    board = pasted([tiles[i : i + COLUMNS] for i in range(0, len(tiles), COLUMNS)])
    write_image(path, board, overwrite=overwrite)
    return len(tiles)


def pasted(rows: list[list[Image.Image]]) -> Image.Image:
    """Put rows of pictures below one another, each in the middle of its place."""
    heights = [max(tile.height for tile in row) + GAP for row in rows]
    side = TILE + GAP
    board = Image.new("RGB", (len(rows[0]) * side - GAP, sum(heights) - GAP), GROUND)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for place, tile in enumerate(row):
            left, down = (TILE - tile.width) // 2, (height - GAP - tile.height) // 2
            board.paste(tile, (place * side + left, top + down))
        top += height
    return board


def readable_tiles(dataset: Dataset, most: int) -> list[Image.Image]:
    """Draw up to `most` pictures, evenly spread over the dataset."""
    chosen = min(most, len(dataset))
    tiles: list[Image.Image] = []
    for place in range(chosen):
        first = place * len(dataset) // chosen
        after = (place + 1) * len(dataset) // chosen
        for index in count(first):
            if index == after:
                break
            try:
                sample = dataset[index]
            except UnimaskError:
                continue
            drawn = truth_result(sample, dataset.labels, task_of(dataset.labels)).plot()
            drawn.thumbnail((TILE, TILE))
            tiles.append(drawn)
            break
    return tiles


def task_of(labels: LabelSet) -> Task:
    """Give the task that shows the most of these classes."""
    return "panoptic" if any(labels.is_thing) else "semantic"
