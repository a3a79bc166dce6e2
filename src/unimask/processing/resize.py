"""The authors' two bilinear steps, tile by tile, so that no mask exists at full size.

Mask logits go to the padded size, the padding is cropped, and the rest goes to the original size
(reference: `mask2former/maskformer_model.py`, detectron2's `sem_seg_postprocess`). Both steps are
linear and separable: along one axis they are one sparse matrix, and a tile of the result needs
only a small patch of the logits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

Size = tuple[int, int]
TILE = 256


def axis_weights(length: int, new_length: int) -> Float[Tensor, "o i"]:
    """Give the matrix of bilinear interpolation along an axis (align_corners=False).

    Positions are rounded to float32 as in `torch.nn.functional.interpolate`.
    """
    scale = torch.tensor(length, dtype=torch.float32) / new_length
    positions = scale * (torch.arange(new_length, dtype=torch.float32) + 0.5) - 0.5
    positions = positions.clamp(min=0)
    first = positions.long().clamp(max=length - 1)
    second = (first + 1).clamp(max=length - 1)
    share = (positions - first).clamp(0, 1)
    weights = torch.zeros(new_length, length)
    rows = torch.arange(new_length)
    weights.index_put_((rows, first), 1 - share, accumulate=True)
    weights.index_put_((rows, second), share, accumulate=True)
    return weights


@lru_cache(maxsize=16)
def composed_weights(length: int, padded: int, shown: int, original: int) -> Float[Tensor, "o i"]:
    """Give both steps along one axis as one matrix: resize to `padded`, crop, resize again."""
    first = axis_weights(length, padded)[:shown].double()
    return (axis_weights(shown, original).double() @ first).float()


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


def support(weights: Float[Tensor, "o i"]) -> tuple[int, int]:
    """Give the first input that some output reads, and the one past the last."""
    read = (weights != 0).any(0).nonzero()
    return int(read[0]), int(read[-1]) + 1


@dataclass(frozen=True)
class Resizer:
    """Resize mask logits to the original picture, a tile at a time.

    Attributes:
        rows: Weights down the picture.
        columns: Weights across the picture.
    """

    rows: Float[Tensor, "o i"]
    columns: Float[Tensor, "o i"]

    @classmethod
    def between(cls, logits: Size, padded: Size, shown: Size, original: Size) -> "Resizer":
        """Join both steps for given sizes (height, width)."""
        rows, columns = (
            composed_weights(*axis) for axis in zip(logits, padded, shown, original, strict=True)
        )
        return cls(rows, columns)

    @property
    def size(self) -> Size:
        """Height and width of the result."""
        return self.rows.shape[0], self.columns.shape[0]

    def patch(self, logits: Float[Tensor, "q h w"], tile: Tile) -> Float[Tensor, "q i j"]:
        """Give the part of the logits that a tile depends on.

        Every value of the tile is a weighted mean of the patch: it lies between its extremes.
        """
        top, bottom = support(self.rows[tile.top : tile.bottom])
        left, right = support(self.columns[tile.left : tile.right])
        return logits[:, top:bottom, left:right]

    def resize(self, patch: Float[Tensor, "q i j"], tile: Tile) -> Float[Tensor, "q y x"]:
        """Resize the patch of a tile."""
        rows = self.rows[tile.top : tile.bottom]
        columns = self.columns[tile.left : tile.right]
        rows = rows[:, slice(*support(rows))].to(patch.device)
        columns = columns[:, slice(*support(columns))].to(patch.device)
        return rows @ patch @ columns.T
