"""The authors' two bilinear steps, tile by tile, so that no mask exists at full size.

Mask logits go to the padded size, the padding is cropped, and the rest goes to the original size
(reference: `mask2former/maskformer_model.py`, detectron2's `sem_seg_postprocess`). Both steps are
linear and separable: along one axis they are one sparse matrix, and a tile of the result needs
only a small patch of the logits.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unimask.processing.tiles import Size, Tile


def axis_weights(length: int, new_length: int) -> Float[Tensor, "o i"]:
    """Give the matrix of linear interpolation along an axis (align_corners=False).

    It is the interpolation of the unit vectors, so that its rounding is that of PyTorch: at
    column 1000 a float32 position leaves an error of 1e-4 in the weights.
    """
    unit = torch.eye(length)[None]
    return F.interpolate(unit, new_length, mode="linear", align_corners=False)[0].T


@lru_cache(maxsize=16)
def composed_weights(length: int, padded: int, shown: int, original: int) -> Float[Tensor, "o i"]:
    """Give both steps along one axis as one matrix: resize to `padded`, crop, resize again."""
    first = axis_weights(length, padded)[:shown].double()
    return (axis_weights(shown, original).double() @ first).float()


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

    rows: Float[Tensor, "y i"]
    columns: Float[Tensor, "x j"]

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
