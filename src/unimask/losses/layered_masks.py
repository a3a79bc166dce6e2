"""Masks of all decoder layers as losses read them: all at a few points, a few of them whole."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unimask.kernels.mask_product import mask_logits, mask_logits_backward
from unimask.losses.point_sampler import PointCandidates
from unimask.losses.points import (
    map_gradients,
    sample_logits,
    sample_logits_saving_points,
    sample_logits_shared,
)
from unimask.outputs import FactoredOutput, MaskFactors, SegmenterOutput

MAX_MASK_PIXELS = 2**25
"""Number of mask pixels that are computed at a time: the masks of five hundred objects in all
layers would be the largest part of a training step's memory."""

SampledLogits = tuple[Float[Tensor, "_ p"], Float[Tensor, "_ p 2"]]
"""Mask logits at points, with gradients, and the points."""


class ComputedMasks:
    """Masks that the network has computed.

    Args:
        layers: Mask logits of each layer.
    """

    def __init__(self, layers: Sequence[Float[Tensor, "b q h w"]]) -> None:
        self.layers = layers
        self.size = (layers[0].shape[-2], layers[0].shape[-1])

    def at_points(self, image: int, points: Float[Tensor, "p 2"]) -> Iterable[Float[Tensor, "q p"]]:
        """Sample all masks of an image at the same points, layer by layer, without gradients."""
        for masks in self.layers:
            yield sample_logits_shared(masks[image].detach().float(), points)

    def at_cells(
        self, image: int, cells: Int[Tensor, " p"] | None
    ) -> Iterable[Float[Tensor, "q p"]]:
        """Return all masks of an image at some of their cells, layer by layer, without gradients.

        Args:
            image: Index of the image.
            cells: Indices of the cells in row-major order; None for all cells.
        """
        for masks in self.layers:
            logits = masks[image].detach().float().flatten(1)
            yield logits if cells is None else logits.index_select(1, cells)

    def sample_uncertain(
        self, queries: list[list[Int[Tensor, " _"]]], candidates: list[list[PointCandidates]]
    ) -> list[list[SampledLogits]]:
        """Sample some masks at their most uncertain points, with gradients.

        Args:
            queries: Query indices of the masks, per image and layer.
            candidates: Points to select from, per image and layer.

        Returns:
            Logits and points per image and layer.
        """
        counts = [len(layers[0]) for layers in queries]
        images = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        images = images.to(self.layers[0].device)
        sampled: list[list[SampledLogits]] = [[] for _ in counts]
        for index, masks in enumerate(self.layers):
            selected = torch.cat([layers[index] for layers in queries])
            for image, logits in enumerate(masks[images, selected].float().split(counts)):
                points = candidates[image][index].select(logits.detach())
                sampled[image].append((sample_logits_saving_points(logits, points), points))
        return sampled


class FactoredMasks:
    """Masks that are computed from their factors when they are read, and not saved.

    Args:
        factors: Factors of the masks of all layers.
        layers: Number of layers.
    """

    def __init__(self, factors: MaskFactors, layers: int) -> None:
        self.factors, self.layers = factors, layers
        self.size = (factors.features.shape[-2], factors.features.shape[-1])

    def at_points(self, image: int, points: Float[Tensor, "p 2"]) -> Iterable[Float[Tensor, "q p"]]:
        """Sample all masks of an image at the same points, layer by layer, without gradients.

        Masks are linear in the features, so the features are sampled instead, which is cheaper.
        """
        parts = self.factors.features, self.factors.embed, self.factors.bias
        features, embed, bias = (part.detach()[image] for part in parts)
        sampled, inside = features_at(features, points)
        for layer_embed, layer_bias in zip(
            embed.chunk(self.layers), bias.chunk(self.layers), strict=True
        ):
            with torch.autocast(sampled.device.type, enabled=False):
                masks = layer_embed.to(sampled.dtype) @ sampled.T
            yield masks.float().addr_(layer_bias[:, 0].float(), inside.float())

    def at_cells(
        self, image: int, cells: Int[Tensor, " p"] | None
    ) -> Iterable[Float[Tensor, "q p"]]:
        """Compute all masks of an image at some cells; see `ComputedMasks.at_cells`."""
        parts = self.factors.features, self.factors.embed, self.factors.bias
        features, embed, bias = (part.detach()[image] for part in parts)
        columns = features.flatten(1)
        columns = columns if cells is None else columns.index_select(1, cells)
        for layer_embed, layer_bias in zip(
            embed.chunk(self.layers), bias.chunk(self.layers), strict=True
        ):
            with torch.autocast(columns.device.type, enabled=False):
                masks = layer_embed.to(columns.dtype) @ columns
            yield masks.float() + layer_bias.float()

    def sample_uncertain(
        self, queries: list[list[Int[Tensor, " _"]]], candidates: list[list[PointCandidates]]
    ) -> list[list[SampledLogits]]:
        """Sample masks at their most uncertain points; see `ComputedMasks.sample_uncertain`."""
        count = self.factors.embed.shape[1] // self.layers
        rows = [torch.stack([q + i * count for i, q in enumerate(each)]) for each in queries]
        parts = self.factors.embed, self.factors.bias, self.factors.features
        with torch.autocast(parts[0].device.type, enabled=False):
            flat: Any = _SampleUncertain.apply(*parts, rows, candidates)
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        return [pairs[i : i + self.layers] for i in range(0, len(pairs), self.layers)]


LayeredMasks = ComputedMasks | FactoredMasks


def layered_masks(output: SegmenterOutput | FactoredOutput) -> LayeredMasks:
    """Return the masks of an output's layers, the last layer last.

    Each frame of a clip counts as an image.
    """
    if isinstance(output, FactoredOutput):
        return FactoredMasks(output.masks, len(output.class_logits))
    layers = [*(layer.mask_logits for layer in output.auxiliary), output.mask_logits]
    if layers[0].ndim == 5:
        layers = [masks.transpose(1, 2).flatten(0, 1) for masks in layers]
    return ComputedMasks(layers)


def features_at(
    features: Float[Tensor, "c h w"], points: Float[Tensor, "p 2"]
) -> tuple[Float[Tensor, "p c"], Float[Tensor, " p"]]:
    """Interpolate features at points, zero outside the map.

    Returns:
        The features, and the sum of each point's interpolation weights inside the map.
    """
    height, width = features.shape[1:]
    location = points * points.new_tensor([width, height]) - 0.5
    corner = location.floor()
    fraction = location - corner
    steps = points.new_tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
    neighbours = corner[:, None] + steps
    weights = (1 - steps - fraction[:, None] + 2 * steps * fraction[:, None]).prod(-1)
    x, y = neighbours.unbind(-1)
    weights = weights * ((x >= 0) & (x < width) & (y >= 0) & (y < height))
    index = y.clamp(0, height - 1).long() * width + x.clamp(0, width - 1).long()
    table = features.flatten(1).T.contiguous()
    sampled = F.embedding_bag(index, table, mode="sum", per_sample_weights=weights.to(table.dtype))
    return sampled, weights.sum(-1)


def layer_runs(layers: int, pixels: int) -> list[slice]:
    """Split layers into runs whose masks are computed together.

    Args:
        layers: Number of layers.
        pixels: Number of mask pixels per layer.
    """
    size = max(1, MAX_MASK_PIXELS // max(1, pixels))
    return [slice(start, min(start + size, layers)) for start in range(0, layers, size)]


class _SampleUncertain(torch.autograd.Function):
    """Autograd function of `FactoredMasks.sample_uncertain`.

    It returns logits and points of every image and layer in turn; masks are not saved.
    """

    @staticmethod
    def forward(
        ctx: Any,
        embed: Tensor,
        bias: Tensor,
        features: Tensor,
        queries: list[Tensor],
        candidates: list[list[PointCandidates]],
    ) -> tuple[Tensor, ...]:
        results: list[Tensor] = []
        for image, rows in enumerate(queries):
            pixels = features[image]
            for run in layer_runs(len(rows), rows.shape[1] * pixels[0].numel()):
                selected = rows[run].flatten()
                own_embed, own_bias = (
                    part[image, selected].to(pixels.dtype)[None] for part in (embed, bias)
                )
                masks = mask_logits(own_embed, own_bias, pixels[None])[0]
                for layer, logits in enumerate(masks.unflatten(0, rows[run].shape), run.start):
                    logits = logits.float()
                    points = candidates[image][layer].select(logits)
                    results += [sample_logits(logits, points), points]
        ctx.queries = queries
        ctx.set_materialize_grads(False)  # those of points would be as large as the points
        ctx.mark_non_differentiable(*results[1::2])
        ctx.save_for_backward(embed, features, *results[1::2])
        return tuple(results)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        embed, features, *points = ctx.saved_tensors
        grad_embed, grad_bias = torch.zeros_like(embed), embed.new_zeros(*embed.shape[:2], 1)
        grad_features = torch.zeros_like(features, memory_format=torch.channels_last)
        pairs = iter(zip(grads[::2], points, strict=True))
        size = (features.shape[-2], features.shape[-1])
        for image, rows in enumerate(ctx.queries):
            pixels, grad_pixels = features[image].flatten(1), grad_features[image].flatten(1)
            for run in layer_runs(len(rows), rows.shape[1] * pixels.shape[1]):
                selected = rows[run].flatten()
                grad_masks = embed.new_zeros(*rows[run].shape, *size, dtype=torch.float32)
                for layer in grad_masks:
                    grad_sampled, layer_points = next(pairs)
                    if grad_sampled is not None:
                        layer.copy_(map_gradients(grad_sampled, layer_points, size))
                to_embed, to_bias = mask_logits_backward(
                    grad_masks.flatten(0, 1).flatten(1), embed[image, selected], pixels, grad_pixels
                )
                grad_embed[image].index_add_(0, selected, to_embed)
                grad_bias[image].index_add_(0, selected, to_bias)
        return grad_embed, grad_bias, grad_features, None, None
