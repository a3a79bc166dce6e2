"""Instance segmentation: scored masks that may overlap."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unimask.formats.run_length import RunLength
from unimask.processing.resize import Resizer
from unimask.processing.tiles import TILE, Tile

STRIP_BYTES = 2**26
"""Memory for the strips of all masks; more masks, or a taller picture, make narrower strips."""


class Instance(NamedTuple):
    """One object: its class, its score, and its pixels."""

    label_id: int
    score: float
    rle: RunLength


class Chosen(NamedTuple):
    """Pairs of query and class, best first."""

    queries: Tensor
    label_ids: Tensor
    scores: Tensor


def instances(
    class_logits: Float[Tensor, "q k"],
    mask_logits: Float[Tensor, "q h w"],
    resizer: Resizer,
    is_thing: tuple[bool, ...],
    top_k: int,
    threshold: float | None,
) -> list[Instance]:
    """Give the best pairs of query and class (`instance_inference` of the authors).

    Of all pairs the `top_k` most probable are kept, then only those of things. A mask is where
    its logit is positive; the score is the class probability times the mean mask probability
    inside. Empty masks score 0 and are left out; with `threshold`, so are lower scores.

    Returns:
        Objects in falling order of score.
    """
    chosen = choose(class_logits, is_thing, top_k, threshold)
    if not len(chosen.queries):
        return []
    unique, place = chosen.queries.unique(return_inverse=True)
    masks, quality = draw(mask_logits[unique].float(), resizer)
    found = []
    rows = zip(place.tolist(), chosen.label_ids.tolist(), chosen.scores.tolist(), strict=True)
    for index, label, score in rows:
        total = score * quality[index]
        if masks[index].area and (threshold is None or total >= threshold):
            found.append(Instance(label, total, masks[index]))
    return sorted(found, key=lambda instance: -instance.score)


def visible(found: list[Instance], min_visible: float) -> list[Instance]:
    """Leave out objects that better ones hide.

    From the best on, an object stays if at least `min_visible` of its pixels are not taken by
    those that stayed before it. Masks are not cut: those that stay may still overlap.
    """
    if not found or min_visible <= 0:
        return found
    height, width = found[0].rle.size
    taken = np.zeros(height * width, bool)
    stayed = []
    for instance in found:
        start, mask = instance.rle.span
        before = taken[start : start + len(mask)]
        if np.count_nonzero(mask & ~before) >= min_visible * instance.rle.area:
            before |= mask
            stayed.append(instance)
    return stayed


def choose(
    class_logits: Float[Tensor, "q k"],
    is_thing: tuple[bool, ...],
    top_k: int,
    threshold: float | None,
) -> Chosen:
    """Choose pairs; a pair whose class alone is below `threshold` can never reach it."""
    probs = class_logits.float().softmax(-1)[:, :-1]
    scores, pairs = probs.flatten().topk(min(top_k, probs.numel()))
    queries = pairs.div(probs.shape[1], rounding_mode="floor")
    label_ids = pairs % probs.shape[1]
    kept = torch.tensor(is_thing, device=label_ids.device)[label_ids]
    if threshold is not None:
        kept &= scores >= threshold
    return Chosen(queries[kept], label_ids[kept], scores[kept])


def draw(
    mask_logits: Float[Tensor, "q h w"], resizer: Resizer
) -> tuple[list[RunLength], list[float]]:
    """Give each query's mask and its mean probability inside, strip of columns by strip."""
    count = len(mask_logits)
    height, width = resizer.size
    strips: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(count)]
    sums = torch.zeros(count, dtype=torch.float64, device=mask_logits.device)
    areas = torch.zeros(count, dtype=torch.long, device=mask_logits.device)
    step = min(TILE, max(1, STRIP_BYTES // max(1, count * height)))
    for left in range(0, width, step):
        right = min(left + step, width)
        strip = torch.zeros(count, right - left, height, dtype=torch.bool)
        for top in range(0, height, TILE):
            tile = Tile(top, min(top + TILE, height), left, right)
            patch = resizer.patch(mask_logits, tile)
            queries = (patch.flatten(1).amax(1) > 0).nonzero()[:, 0]
            if not len(queries):
                continue
            logits = resizer.resize(patch[queries], tile)
            inside = logits > 0
            sums[queries] += (logits.sigmoid_() * inside).sum((1, 2), dtype=torch.float64)
            areas[queries] += inside.sum((1, 2))
            strip[queries.cpu(), :, top : tile.bottom] = inside.transpose(1, 2).cpu()
        append_runs(strips, strip.numpy(), left * height)
    quality = (sums / areas.clamp(min=1)).tolist()
    return [join_runs(runs, (height, width)) for runs in strips], quality


def append_runs(
    strips: list[list[tuple[np.ndarray, np.ndarray]]],
    strip: Bool[np.ndarray, "q x y"],
    offset: int,
) -> None:
    """Add the runs of ones in a strip of whole columns, which follow one another in memory."""
    flat = strip.reshape(len(strip), -1)
    for index in np.flatnonzero(flat.any(1)):
        padded = np.concatenate([[False], flat[index], [False]])
        edges = np.flatnonzero(padded[1:] != padded[:-1])
        strips[index].append((edges[0::2] + offset, edges[1::2] - edges[0::2]))


def join_runs(runs: list[tuple[np.ndarray, np.ndarray]], size: tuple[int, int]) -> RunLength:
    """Put the runs of all strips together."""
    if not runs:
        nothing = np.zeros(0, np.int64)
        return RunLength.from_runs(size, nothing, nothing)
    starts, lengths = (np.concatenate(parts) for parts in zip(*runs, strict=True))
    return RunLength.from_runs(size, starts, lengths)
