"""Mask logits as products of query embeddings and pixel features, with a sparse backward pass."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unimask.kernels.linear.autograd import compute_dtype, uses_custom_autograd
from unimask.kernels.linear.prepacked import can_prepack

MAX_COPIED = 2**25
"""Number of gradient values of supervised masks that are copied at a time: those of five hundred
objects in all layers would be the largest part of a training step's memory."""


def mask_logits(
    embed: Float[Tensor, "b q d"], bias: Float[Tensor, "b q 1"], features: Float[Tensor, "b d h w"]
) -> Float[Tensor, "b q h w"]:
    """Compute the dot product of every pixel's features with every query's embedding, plus a bias.

    Pixels are many and queries few: oneDNN takes half the time of PyTorch's product if the pixels
    take the place of a layer's weight. It does not support gradients.

    Args:
        embed: Mask embedding of each query.
        bias: Added to all pixels of a query's mask.
        features: Mask features.
    """
    pixels = features.flatten(2).transpose(1, 2)
    if not (can_prepack(embed) and pixels.is_contiguous()):
        masks = torch.baddbmm(bias, embed, pixels.transpose(1, 2))
    else:
        multiply = torch.ops.mkldnn._linear_pointwise.default
        pairs = zip(embed.split(1), pixels, strict=True)
        parts = [multiply(queries, weight, None, "none", [], "") for queries, weight in pairs]
        masks = (parts[0] if len(parts) == 1 else torch.cat(parts)).add_(bias)
    return masks.unflatten(-1, features.shape[-2:])


def layer_mask_logits(
    embed: Float[Tensor, "b q d"],
    bias: Float[Tensor, "b q 1"],
    features: Float[Tensor, "b d h w"],
    count: int,
) -> tuple[Float[Tensor, "b _ h w"], ...]:
    """Compute `mask_logits` of the queries of several layers, as one tensor per layer.

    Losses supervise matched masks only, so most gradients of masks are zero. The backward pass
    skips those, and needs no concatenated gradient of all layers.

    Args:
        embed: Mask embeddings of the queries of all layers.
        bias: Added to all pixels of a query's mask.
        features: Mask features.
        count: Number of queries per layer.
    """
    if uses_custom_autograd(embed):
        return _MaskProduct.apply(embed, bias, features, count)  # type: ignore[return-value]
    return mask_logits(embed, bias, features).split(count, dim=1)


class _MaskProduct(torch.autograd.Function):
    """Autograd function of `layer_mask_logits`."""

    @staticmethod
    def forward(
        ctx: Any, embed: Tensor, bias: Tensor, features: Tensor, count: int
    ) -> tuple[Tensor, ...]:
        dtype = compute_dtype(features)
        ctx.save_for_backward(embed, features)
        ctx.count = count
        ctx.set_materialize_grads(False)
        with torch.autocast("cpu", enabled=False):
            factors = (part.to(dtype) for part in (embed, bias, features))
            return mask_logits(*factors).split(count, dim=1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_masks: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        embed, features = ctx.saved_tensors
        grad_embed, grad_bias = torch.zeros_like(embed), embed.new_zeros(*embed.shape[:2], 1)
        grad_features = torch.zeros_like(features, memory_format=torch.channels_last)
        # A layer that no loss reads has no gradient; its queries are skipped.
        layers = [index for index, grad in enumerate(grad_masks) if grad is not None]
        grads = [grad for grad in grad_masks if grad is not None]
        for b in range(len(embed) if grads else 0):
            used = [nonzero_masks(grad[b]) for grad in grads]
            pixels, grad_pixels = features[b].flatten(1), grad_features[b].flatten(1)
            for group in layer_groups(used, pixels.shape[1]):
                indices = [used[i].nonzero()[:, 0] + layers[i] * ctx.count for i in group]
                rows = torch.cat([grads[i][b][used[i]] for i in group]).flatten(1)
                queries = torch.cat(indices)
                grad_embed[b, queries], grad_bias[b, queries] = mask_logits_backward(
                    rows, embed[b, queries], pixels, grad_pixels
                )
        return grad_embed, grad_bias, grad_features, None


def mask_logits_backward(
    grad_masks: Float[Tensor, "n p"],
    embed: Float[Tensor, "n d"],
    pixels: Float[Tensor, "d p"],
    grad_pixels: Float[Tensor, "d p"],
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n 1"]]:
    """Compute the gradients of embeddings and biases; add those of the pixels' features in place.

    Products are computed in the dtype of the masks' gradients.

    Args:
        grad_masks: Gradients of the masks of some queries.
        embed: Embeddings of these queries.
        pixels: Features of an image.
        grad_pixels: Gradient of these features, which is accumulated into.
    """
    dtype = grad_masks.dtype
    if pixels.dtype == embed.dtype == dtype:
        grad_pixels.T.addmm_(grad_masks.T, embed)
    else:
        grad_pixels.T.add_(grad_masks.T @ embed.to(dtype))
    grad_embed = grad_masks @ pixels.to(dtype).T
    return grad_embed.to(embed.dtype), grad_masks.sum(1, keepdim=True).to(embed.dtype)


def layer_groups(used: list[Bool[Tensor, " q"]], pixels: int) -> list[list[int]]:
    """Group layers for joint products of at most about `MAX_COPIED` gradient values each.

    Args:
        used: Masks with nonzero gradients, per layer.
        pixels: Number of pixels of a mask.
    """
    groups: list[list[int]] = [[]]
    copied = 0
    masks = torch.stack([mask.sum() for mask in used]).tolist()
    for layer, count in enumerate(pixels * supervised for supervised in masks):
        if groups[-1] and copied + count > MAX_COPIED:
            groups.append([])
            copied = 0
        groups[-1].append(layer)
        copied += count
    return groups


def nonzero_masks(masks: Float[Tensor, "q h w"]) -> Bool[Tensor, " q"]:
    """Mark the masks with any nonzero value."""
    rows = masks.flatten(1)
    return (rows.amax(1) != 0) | (rows.amin(1) != 0)
