"""A map is made tile by tile, so that nothing per query exists at its full size."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Size = tuple[int, int]

TILE = 256
"""Side of a tile: 100 queries then take 26 MB."""


@dataclass(frozen=True)
class Tile:
    """A rectangle of the result: rows and columns, start included, end excluded."""

    top: int
    bottom: int
    left: int
    right: int


def tiles(size: Size, step: int = TILE) -> Iterator[Tile]:
    """Cover a map, column strip by column strip, each from top to bottom."""
    for left in range(0, size[1], step):
        for top in range(0, size[0], step):
            yield Tile(top, min(top + step, size[0]), left, min(left + step, size[1]))


def place(target: Int[Tensor, "y x"], tile: Tile, values: Int[Tensor, " n"]) -> None:
    """Write a tile's values, row by row, into the map."""
    shape = (tile.bottom - tile.top, tile.right - tile.left)
    target[tile.top : tile.bottom, tile.left : tile.right] = values.view(shape).to(target.dtype)


def best_row(scores: Float[Tensor, "q n"]) -> Int[Tensor, " n"]:
    """Give the index of each column's largest value, the first of equals.

    It is `argmax(0)`, which on a CPU reads down the columns and takes three times as long.
    """
    if scores.device.type != "cpu":
        return scores.argmax(0)
    best = scores[0].clone()
    index = torch.zeros(scores.shape[1], dtype=torch.int64)
    for number, row in enumerate(scores[1:], start=1):
        index.masked_fill_(row > best, number)
        torch.maximum(best, row, out=best)
    return index
