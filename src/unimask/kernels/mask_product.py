"""Masks as products of embeddings and features, whose gradients cost what few masks have."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unimask.kernels.linear.learning import arithmetic
from unimask.kernels.linear.packed import packs

AT_ONCE = 2**25
"""Values of judged masks that are copied at a time: copies of five hundred objects in all layers
would be the largest part of a step's memory."""


def masks_of(
    embed: Float[Tensor, "b q d"], own: Float[Tensor, "b q 1"], features: Float[Tensor, "b d h w"]
) -> Float[Tensor, "b q h w"]:
    """Score every cell against every query: one dot product per pair, plus what is a query's own.

    Cells are many and queries few: oneDNN takes half of the time of PyTorch's product if the
    cells play the part of a layer's weight. It knows no gradients.
    """
    cells = features.flatten(2).transpose(1, 2)
    if not (packs(embed) and cells.is_contiguous()):
        masks = torch.baddbmm(own, embed, cells.transpose(1, 2))
    else:
        multiply = torch.ops.mkldnn._linear_pointwise.default
        pairs = zip(embed.split(1), cells, strict=True)
        parts = [multiply(queries, weight, None, "none", [], "") for queries, weight in pairs]
        masks = (parts[0] if len(parts) == 1 else torch.cat(parts)).add_(own)
    return masks.unflatten(-1, features.shape[-2:])


def mask_product(
    embed: Float[Tensor, "b q d"],
    own: Float[Tensor, "b q 1"],
    features: Float[Tensor, "b d h w"],
    count: int,
) -> tuple[Float[Tensor, "b _ h w"], ...]:
    """Give `masks_of`, with gradients.

    A loss that judges matched masks alone gives all others a gradient of zeros, most of them. In
    the backward pass those are left out, and the gradients of `count` queries each need not be
    joined first.

    Args:
        embed: Of the queries of all layers.
        own: Added to all cells of a query.
        features: Of the cells.
        count: Queries of a layer.
    """
    return _MaskProduct.apply(embed, own, features, count)  # type: ignore[return-value]


class _MaskProduct(torch.autograd.Function):
    """See `mask_product`."""

    @staticmethod
    def forward(
        ctx: Any, embed: Tensor, own: Tensor, features: Tensor, count: int
    ) -> tuple[Tensor, ...]:
        dtype = arithmetic(features)
        ctx.save_for_backward(embed, features)
        ctx.count = count
        ctx.set_materialize_grads(False)
        with torch.autocast("cpu", enabled=False):
            factors = (part.to(dtype) for part in (embed, own, features))
            return masks_of(*factors).split(count, dim=1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *to_masks: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        embed, features = ctx.saved_tensors
        to_embed, to_own = torch.zeros_like(embed), embed.new_zeros(*embed.shape[:2], 1)
        to_features = torch.zeros_like(features, memory_format=torch.channels_last)
        given = [layer for layer in to_masks if layer is not None]
        # Of layers that nobody asked for there is none: their queries are left out as well.
        places = [i * ctx.count for i, layer in enumerate(to_masks) if layer is not None]
        for b in range(len(embed) if given else 0):
            used = [touched(layer[b]) for layer in given]
            cells, to_cells = features[b].flatten(1), to_features[b].flatten(1)
            for group in groups(used, cells.shape[1]):
                queries = torch.cat([used[i].nonzero()[:, 0] + places[i] for i in group])
                rows = torch.cat([given[i][b][used[i]] for i in group]).flatten(1)
                found = go_back(rows, embed[b, queries], cells, to_cells)
                to_embed[b, queries], to_own[b, queries] = found
        return to_embed, to_own, to_features, None


def go_back(
    to_masks: Float[Tensor, "n p"],
    embed: Float[Tensor, "n d"],
    cells: Float[Tensor, "d p"],
    to_cells: Float[Tensor, "d p"],
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n 1"]]:
    """Give the gradients of masks' embeddings and of what is their own, those of cells in place.

    Everything is multiplied in the masks' type.
    """
    kind = to_masks.dtype
    if cells.dtype == embed.dtype == kind:
        to_cells.T.addmm_(to_masks.T, embed)
    else:
        to_cells.T.add_(to_masks.T @ embed.to(kind))
    to_embed = to_masks @ cells.to(kind).T
    return to_embed.to(embed.dtype), to_masks.sum(1, keepdim=True).to(embed.dtype)


def groups(used: list[Bool[Tensor, " q"]], cells: int) -> list[list[int]]:
    """Join layers into products: all of them where few masks were judged, for one has less to do.

    Args:
        used: The judged masks of each layer.
        cells: Of a mask.
    """
    joined: list[list[int]] = [[]]
    taken = 0
    masks = torch.stack([found.sum() for found in used]).tolist()
    for layer, count in enumerate(cells * judged for judged in masks):
        if joined[-1] and taken + count > AT_ONCE:
            joined.append([])
            taken = 0
        joined[-1].append(layer)
        taken += count
    return joined


def touched(masks: Float[Tensor, "q h w"]) -> Bool[Tensor, " q"]:
    """Mark the masks that are not zero everywhere."""
    rows = masks.flatten(1)
    return (rows.amax(1) != 0) | (rows.amin(1) != 0)
