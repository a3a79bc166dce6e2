"""Mask logits in little memory: only the tiles in which they matter.

Far from its object a mask is certain, so a tile of its logits can be replaced by one number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unimask.processing.resize import Axis, Resizer

TILE_SIDE = 8
"""Side of a tile in logits. Larger tiles hold more logits that do not matter."""


@dataclass(frozen=True, eq=False)
class CompactMasks:
    """Mask logits, of which some tiles are replaced by a constant.

    Attributes:
        size: Height and width of the logits.
        is_stored: Tiles whose logits are stored, numbered row by row.
        tiles: Their logits.
        constants: Logit of all other tiles.
    """

    size: tuple[int, int]
    is_stored: Bool[Tensor, "q n"]
    tiles: Float[Tensor, "m t t"]
    constants: Float[Tensor, "q n"]

    @classmethod
    def compress(
        cls,
        mask_logits: Float[Tensor, "q h w"],
        is_stored: Bool[Tensor, "q n"],
        constants: Float[Tensor, "q n"],
        dtype: torch.dtype,
    ) -> "CompactMasks":
        """Copy the stored tiles to the CPU in `dtype`; nothing refers to `mask_logits` then."""
        size = (mask_logits.shape[1], mask_logits.shape[2])
        down, across = tile_counts(size)
        padded = pad_to_tiles(mask_logits)
        tiles = padded.unflatten(2, (across, TILE_SIDE)).unflatten(1, (down, TILE_SIDE))
        is_stored = is_stored.cpu()
        places = is_stored.unflatten(1, (down, across)).nonzero().to(mask_logits.device)
        query, row, column = places.unbind(1)
        selected = tiles.transpose(2, 3)[query, row, column]
        limit = torch.finfo(dtype).max
        stored, others = (
            values.float().clamp(-limit, limit).to(dtype).cpu() for values in (selected, constants)
        )
        return cls(size, is_stored, stored, others)

    def expand(self) -> Float[Tensor, "q h w"]:
        """Return the logits in float32."""
        down, across = tile_counts(self.size)
        tiles = self.constants.float()[..., None, None].repeat(1, 1, TILE_SIDE, TILE_SIDE)
        tiles[self.is_stored] = self.tiles.float()
        tiles = tiles.unflatten(1, (down, across)).transpose(2, 3)
        whole = tiles.flatten(3).flatten(1, 2)
        return whole[:, : self.size[0], : self.size[1]].contiguous()

    @property
    def nbytes(self) -> int:
        """Number of bytes in memory."""
        return self.is_stored.nbytes + self.tiles.nbytes + self.constants.nbytes


def tile_counts(size: Sequence[int]) -> tuple[int, int]:
    """Return the number of tiles vertically and horizontally."""
    return -(-size[0] // TILE_SIDE), -(-size[1] // TILE_SIDE)


def pad_to_tiles(mask_logits: Float[Tensor, "q h w"]) -> Float[Tensor, "q _ _"]:
    """Pad logits to whole tiles by repeating the last row and column."""
    for dim, count in zip((1, 2), tile_counts(mask_logits.shape[1:]), strict=True):
        length = mask_logits.shape[dim]
        if count * TILE_SIDE > length:
            places = torch.arange(count * TILE_SIDE, device=mask_logits.device)
            mask_logits = mask_logits.index_select(dim, places.clamp(max=length - 1))
    return mask_logits


def tile_bounds(
    mask_logits: Float[Tensor, "q h w"], resizer: Resizer
) -> tuple[Float[Tensor, "q n"], Float[Tensor, "q n"]]:
    """Return the smallest and the largest logit of all pixels that depend on each tile."""
    padded = pad_to_tiles(mask_logits)
    reach = max(input_span(axis) for axis in resizer)
    lowest, highest = (
        reduce_tiles(reduce_tiles(padded, 1, reach, is_max), 2, reach, is_max).flatten(1).float()
        for is_max in (False, True)
    )
    return lowest, highest


def input_span(axis: Axis) -> int:
    """Return the largest distance between two inputs of an output."""
    is_used = axis.weights > 0
    last = axis.inputs.where(is_used, -1).amax(1)
    first = axis.inputs.where(is_used, int(axis.inputs.amax())).amin(1)
    return int((last - first).max())


def reduce_tiles(
    values: Float[Tensor, "q h w"], dim: int, reach: int, is_max: bool
) -> Float[Tensor, "q _ _"]:
    """Reduce whole tiles along an axis, each with `reach` neighbours on both sides."""
    reduce = torch.maximum if is_max else torch.minimum
    tiles = values.unflatten(dim, (-1, TILE_SIDE))
    result = tiles.amax(dim + 1) if is_max else tiles.amin(dim + 1)
    count = result.shape[dim]
    for distance in range(1, reach + 1):
        # The neighbour lies `skipped` tiles away, at `place` before or at its mirror image after.
        skipped, place = 1 + (distance - 1) // TILE_SIDE, (distance - 1) % TILE_SIDE
        if skipped >= count:
            break
        for place_in_tile, target, source in (
            (TILE_SIDE - 1 - place, skipped, 0),
            (place, 0, skipped),
        ):
            part = result.narrow(dim, target, count - skipped)
            edge = tiles.select(dim + 1, place_in_tile).narrow(dim, source, count - skipped)
            reduce(part, edge, out=part)
    return result
