"""Masks of all layers as losses read them: all at a few points, a few whole ones."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unimask.kernels.mask_product import mask_logits, mask_logits_backward
from unimask.losses.points import (
    gradient_of_maps,
    sample_lean,
    sample_logits,
    sample_logits_shared,
)
from unimask.outputs import FactoredOutput, MaskFactors, SegmenterOutput

CELLS_AT_ONCE = 2**25
"""Cells of masks that are drawn at a time: those of five hundred objects in all layers would be
the largest part of a step's memory."""

Choose = Callable[[int, int, Float[Tensor, "n h w"]], Float[Tensor, "n p 2"]]
"""Gives the points, (x, y) from 0 to 1, at which masks of a picture (its number first) in a layer
are judged."""

Judged = tuple[Float[Tensor, "_ p"], Float[Tensor, "_ p 2"]]
"""Logits at points, with gradients, and the points."""


class DrawnMasks:
    """Masks that are there.

    Args:
        layers: Of each layer.
    """

    def __init__(self, layers: Sequence[Float[Tensor, "b q h w"]]) -> None:
        self.layers = layers
        self.size = (layers[0].shape[-2], layers[0].shape[-1])

    def at(self, picture: int, points: Float[Tensor, "p 2"]) -> Iterable[Float[Tensor, "q p"]]:
        """Read all masks of a picture at the same points, layer by layer, without gradients."""
        for masks in self.layers:
            yield sample_logits_shared(masks[picture].detach().float(), points)

    def judge(self, queries: list[list[Int[Tensor, " _"]]], choose: Choose) -> list[list[Judged]]:
        """Read some masks at points of their own, with gradients.

        Args:
            queries: Of each picture, in each layer.
            choose: Is shown the masks and gives the points.

        Returns:
            Of each picture, in each layer.
        """
        counts = [len(layers[0]) for layers in queries]
        pictures = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        pictures = pictures.to(self.layers[0].device)
        found: list[list[Judged]] = [[] for _ in counts]
        for index, masks in enumerate(self.layers):
            asked = torch.cat([layers[index] for layers in queries])
            logits = masks[pictures, asked].float().split(counts)
            for picture, some in enumerate(logits):
                points = choose(picture, index, some.detach())
                found[picture].append((sample_lean(some, points), points))
        return found


class FactoredMasks:
    """Masks that are drawn when they are read, and forgotten.

    Args:
        factors: Of all layers.
        layers: Their number.
    """

    def __init__(self, factors: MaskFactors, layers: int) -> None:
        self.factors, self.layers = factors, layers
        self.size = (factors.features.shape[-2], factors.features.shape[-1])

    def at(self, picture: int, points: Float[Tensor, "p 2"]) -> Iterable[Float[Tensor, "q p"]]:
        """Read all masks of a picture at the same points, layer by layer, without gradients.

        Masks are linear in the features: features are read there instead, a fraction of them.
        """
        parts = self.factors.features, self.factors.embed, self.factors.bias
        features, embed, own = (part.detach()[picture] for part in parts)
        read, inside = features_at(features, points)
        for some, plus in zip(embed.chunk(self.layers), own.chunk(self.layers), strict=True):
            with torch.autocast(read.device.type, enabled=False):
                masks = some.to(read.dtype) @ read.T
            yield masks.float().addr_(plus[:, 0].float(), inside.float())

    def judge(self, queries: list[list[Int[Tensor, " _"]]], choose: Choose) -> list[list[Judged]]:
        """Read some masks at points of their own, with gradients: see `DrawnMasks.judge`."""
        count = self.factors.embed.shape[1] // self.layers
        rows = [torch.stack([q + i * count for i, q in enumerate(each)]) for each in queries]
        parts = self.factors.embed, self.factors.bias, self.factors.features
        with torch.autocast(parts[0].device.type, enabled=False):
            flat: Any = _Judge.apply(*parts, rows, choose)
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        return [pairs[i : i + self.layers] for i in range(0, len(pairs), self.layers)]


LayeredMasks = DrawnMasks | FactoredMasks


def layered_masks(output: SegmenterOutput | FactoredOutput) -> LayeredMasks:
    """Give the masks of an output's layers, the last one last."""
    if isinstance(output, FactoredOutput):
        return FactoredMasks(output.masks, len(output.class_logits))
    return DrawnMasks([*(layer.mask_logits for layer in output.auxiliary), output.mask_logits])


def features_at(
    features: Float[Tensor, "c h w"], points: Float[Tensor, "p 2"]
) -> tuple[Float[Tensor, "p c"], Float[Tensor, " p"]]:
    """Interpolate features at points, zero outside; say which share of each point is inside."""
    height, width = features.shape[1:]
    corner = points * points.new_tensor([width, height]) - 0.5
    first = corner.floor()
    share = corner - first
    steps = points.new_tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
    places = first[:, None] + steps
    weights = (1 - steps - share[:, None] + 2 * steps * share[:, None]).prod(-1)
    x, y = places.unbind(-1)
    weights = weights * ((x >= 0) & (x < width) & (y >= 0) & (y < height))
    index = y.clamp(0, height - 1).long() * width + x.clamp(0, width - 1).long()
    table = features.flatten(1).T.contiguous()
    read = F.embedding_bag(index, table, mode="sum", per_sample_weights=weights.to(table.dtype))
    return read, weights.sum(-1)


def runs(layers: int, cells: int) -> list[slice]:
    """Join layers whose masks are drawn together, of so many cells in each."""
    size = max(1, CELLS_AT_ONCE // max(1, cells))
    return [slice(start, min(start + size, layers)) for start in range(0, layers, size)]


class _Judge(torch.autograd.Function):
    """See `FactoredMasks.judge`: gives logits and points of every picture and layer in turn."""

    @staticmethod
    def forward(
        ctx: Any,
        embed: Tensor,
        own: Tensor,
        features: Tensor,
        queries: list[Tensor],
        choose: Choose,
    ) -> tuple[Tensor, ...]:
        given: list[Tensor] = []
        for picture, rows in enumerate(queries):
            cells = features[picture]
            for run in runs(len(rows), rows.shape[1] * cells[0].numel()):
                asked = rows[run].flatten()
                some, plus = (part[picture, asked].to(cells.dtype) for part in (embed, own))
                drawn = mask_logits(some[None], plus[None], cells[None])[0]
                for layer, logits in enumerate(drawn.unflatten(0, rows[run].shape), run.start):
                    logits = logits.float()
                    points = choose(picture, layer, logits)
                    given += [sample_logits(logits, points), points]
        ctx.queries = queries
        ctx.set_materialize_grads(False)  # those of points would be as large as the points
        ctx.mark_non_differentiable(*given[1::2])
        ctx.save_for_backward(embed, features, *given[1::2])
        return tuple(given)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        embed, features, *points = ctx.saved_tensors
        to_embed, to_own = torch.zeros_like(embed), embed.new_zeros(*embed.shape[:2], 1)
        to_features = torch.zeros_like(features, memory_format=torch.channels_last)
        pairs = iter(zip(grads[::2], points, strict=True))
        size = (features.shape[-2], features.shape[-1])
        for picture, rows in enumerate(ctx.queries):
            cells, to_cells = features[picture].flatten(1), to_features[picture].flatten(1)
            for run in runs(len(rows), rows.shape[1] * cells.shape[1]):
                asked = rows[run].flatten()
                maps = embed.new_zeros(*rows[run].shape, *size, dtype=torch.float32)
                for part in maps:
                    to_sampled, places = next(pairs)
                    if to_sampled is not None:
                        part.copy_(gradient_of_maps(to_sampled, places, size))
                found = mask_logits_backward(
                    maps.flatten(0, 1).flatten(1), embed[picture, asked], cells, to_cells
                )
                to_embed[picture].index_add_(0, asked, found[0])
                to_own[picture].index_add_(0, asked, found[1])
        return to_embed, to_own, to_features, None, None
