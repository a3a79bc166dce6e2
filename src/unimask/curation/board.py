"""Draw labelled images side by side, so that users can inspect a dataset's labels."""

from itertools import count
from pathlib import Path

from PIL import Image

from unimask.datasets import Dataset
from unimask.datasets.ground_truth import ground_truth_result
from unimask.errors import UnimaskError
from unimask.formats.output_file import write_image
from unimask.labels import LabelSet, Task

ROWS, COLUMNS = 3, 4
TILE = 420
"""Longest side of an image with its legend, in pixels."""

GAP, BACKGROUND = 6, (24, 24, 24)


def draw_board(dataset: Dataset, path: Path, *, overwrite: bool = False) -> int:
    """Draw images, evenly spread over a dataset, with their labels; return how many were drawn.

    Images that cannot be read are skipped. If none can be read, no file is written.

    Args:
        dataset: Labelled images.
        path: Image file to write.
        overwrite: Whether to replace an existing file that unimask did not write.

    Raises:
        OutputError: The file exists and was not written by unimask, or it cannot be written.
    """
    tiles = draw_tiles(dataset, ROWS * COLUMNS)
    if not tiles:
        return 0
    board = arrange_tiles([tiles[i : i + COLUMNS] for i in range(0, len(tiles), COLUMNS)])
    write_image(path, board, overwrite=overwrite)
    return len(tiles)


def arrange_tiles(rows: list[list[Image.Image]]) -> Image.Image:
    """Arrange tiles in rows, each tile centred in its cell."""
    heights = [max(tile.height for tile in row) + GAP for row in rows]
    side = TILE + GAP
    board = Image.new("RGB", (len(rows[0]) * side - GAP, sum(heights) - GAP), BACKGROUND)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            left, down = (TILE - tile.width) // 2, (height - GAP - tile.height) // 2
            board.paste(tile, (column * side + left, top + down))
        top += height
    return board


def draw_tiles(dataset: Dataset, max_tiles: int) -> list[Image.Image]:
    """Draw up to `max_tiles` readable images, evenly spread over the dataset."""
    number = min(max_tiles, len(dataset))
    tiles: list[Image.Image] = []
    for tile_index in range(number):
        start = tile_index * len(dataset) // number
        stop = (tile_index + 1) * len(dataset) // number
        for index in count(start):
            if index == stop:
                break
            try:
                sample = dataset[index]
            except UnimaskError:
                continue
            tile = ground_truth_result(sample, dataset.labels, drawing_task(dataset.labels)).plot()
            tile.thumbnail((TILE, TILE))
            tiles.append(tile)
            break
    return tiles


def drawing_task(labels: LabelSet) -> Task:
    """Return the task whose drawings show all of these classes."""
    return "panoptic" if any(labels.is_thing) else "semantic"
