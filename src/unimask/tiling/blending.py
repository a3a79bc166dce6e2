"""Gaussian blending of class scores where tiles overlap, in memory of the overlaps only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unimask.tiling.windows import Cell, Tile, TileAxis, TileGrid, TileWindow

SIGMA_SHARE = 1 / 8
"""Standard deviation of the weights as a share of the tile's side, as in nnU-Net."""

MIN_SCORE = 2.0**-10
"""Score below which a class is not stored for a part of a tile, relative to 1 or the best score."""

LABEL_DTYPE = torch.int32

DecideLabels = Callable[[tuple[int, ...], Float[Tensor, "c h w"]], Int[Tensor, "h w"]]
"""Function from class scores, and the classes they belong to, to the label of every pixel."""

WriteBlock = Callable[[TileWindow, Int[np.ndarray, "h w"]], None]
"""Function that receives each finished part of the label map once."""


def gaussian_weights(length: int) -> Float[np.ndarray, " n"]:
    """Return weights of the pixels of a tile along an axis, 1 in the middle."""
    distance = np.arange(length) - (length - 1) / 2
    return np.exp(-0.5 * (distance / (SIGMA_SHARE * length)) ** 2)


def normalised_weights(axis: TileAxis) -> list[Float[np.ndarray, " n"]]:
    """Return the weights of each interval, divided by the sum over all intervals at each pixel.

    The weight of a tile at a pixel is the product of both axes' weights; over all tiles, these
    products sum to 1.
    """
    weights = gaussian_weights(axis.tile)
    total = np.zeros(axis.length)
    for start in axis.starts:
        total[start : start + axis.tile] += weights
    return [weights / total[start : start + axis.tile] for start in axis.starts]


@dataclass(eq=False)
class PendingCell:
    """Blended scores of a cell that later tiles cover too.

    Attributes:
        remaining: Number of tiles that are still to come.
        scores: Weighted sum of the scores of each class so far, float16.
    """

    remaining: int
    scores: dict[int, Float[Tensor, "h w"]]


class ClassBlender:
    """Label map of an image from the class scores of its tiles, row by row.

    Pixels that one tile covers are decided at once. Others wait for all of their tiles, so that
    memory holds the overlaps with the next tiles, for classes that occur there.

    Args:
        grid: Tiles of the image, to be added in order.
        decide: Function that decides the labels.
        write: Function that receives the finished parts of the label map.
        void: Label of pixels without any score.
    """

    def __init__(
        self, grid: TileGrid, decide: DecideLabels, write: WriteBlock, void: int = -1
    ) -> None:
        self.grid = grid
        self.void = void
        self.decide = decide
        self.write = write
        self.weights = [
            [torch.from_numpy(part).float() for part in normalised_weights(axis)]
            for axis in (grid.rows, grid.columns)
        ]
        self.pending: dict[tuple[int, int], PendingCell] = {}

    @property
    def pending_bytes(self) -> int:
        """Number of bytes of the scores in memory."""
        return sum(part.nbytes for cell in self.pending.values() for part in cell.scores.values())

    def add(self, tile: Tile, classes: Sequence[int], scores: Float[Tensor, "c h w"]) -> None:
        """Add the scores of a tile.

        Args:
            tile: The tile.
            classes: Class of each score, ascending; further classes have the score 0.
            scores: Scores of the tile's pixels, at least one class.
        """
        row_weights, column_weights = self.weights[0][tile.i], self.weights[1][tile.j]
        for cell in self.grid.cells(tile):
            rows, columns = cell.window.slices_within(tile.window)
            part = scores[:, rows, columns]
            if cell.num_tiles == 1:
                self.write(cell.window, self.decide(tuple(classes), part).cpu().numpy())
                continue
            weights = row_weights[rows, None] * column_weights[columns]
            self.add_to_cell(cell, classes, part, weights.to(scores.device))

    def skip(self, tile: Tile) -> None:
        """Add a tile without scores, of which no pixel holds data."""
        for cell in self.grid.cells(tile):
            if cell.num_tiles == 1:
                self.write_scores(cell, {})
            else:
                self.count_down(cell)

    def add_to_cell(
        self,
        cell: Cell,
        classes: Sequence[int],
        scores: Float[Tensor, "c h w"],
        weights: Float[Tensor, "h w"],
    ) -> None:
        """Add a tile's scores to a cell that several tiles cover; write it after the last one."""
        pending = self.pending.setdefault(cell.key, PendingCell(cell.num_tiles, {}))
        highest = scores.flatten(1).amax(1)
        is_stored = highest >= MIN_SCORE * highest.amax().clamp(max=1)
        for index in is_stored.nonzero()[:, 0].tolist():
            weighted = (scores[index] * weights).half().cpu()
            before = pending.scores.get(classes[index])
            pending.scores[classes[index]] = weighted if before is None else before.add_(weighted)
        self.count_down(cell)

    def count_down(self, cell: Cell) -> None:
        """Count a tile of a cell; write the cell after its last one."""
        pending = self.pending.setdefault(cell.key, PendingCell(cell.num_tiles, {}))
        pending.remaining -= 1
        if not pending.remaining:
            del self.pending[cell.key]
            self.write_scores(cell, pending.scores)

    def write_scores(self, cell: Cell, scores: dict[int, Float[Tensor, "h w"]]) -> None:
        """Write the labels of a cell from the blended scores of each class."""
        if not scores:
            shape = cell.window.height, cell.window.width
            self.write(cell.window, np.full(shape, self.void, np.int32))
            return
        names = tuple(sorted(scores))
        blended = torch.stack([scores[name] for name in names]).float()
        self.write(cell.window, self.decide(names, blended).cpu().numpy())


def first_of_best(
    classes: tuple[int, ...], scores: Float[Tensor, "c h w"]
) -> tuple[Int[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Return the class with the highest score at each pixel, and that score."""
    best, index = scores.max(0)
    return torch.tensor(classes, dtype=LABEL_DTYPE, device=scores.device)[index], best
