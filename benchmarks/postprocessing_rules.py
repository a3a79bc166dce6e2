"""Reference implementation of post-processing with all masks at full size, and logits to test it.

A tie is a pixel whose result depends on rounding: its probabilities are within `TIE` of the other
decision.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unimask.processing.resize import Size
from unimask.results import Result

TIE = 1e-6
STRIP = 64
"""Number of image rows that are processed at a time."""

EDGE, INSIDE, OUTSIDE = 1.5, 7.0, -12.0
"""Width of half a mask edge in cells, and logits far from it, as of a trained network."""


def blobs(queries: int, confident: int, classes: int, size: Size) -> tuple[Tensor, Tensor]:
    """Draw logits like a network's: masks with soft, uneven edges that hardly overlap.

    Every fourth of the confident queries covers a large part of the image, behind the others, as
    stuff does. The rest repeat them with softer edges and predict "no object".

    Returns:
        Class logits (q, k + 1) and mask logits (q, h, w).
    """
    generator = torch.Generator().manual_seed(0)
    masks = INSIDE + (OUTSIDE - INSIDE) * (-edge_distances(confident, size, generator)).sigmoid()
    repeated = torch.arange(queries) % confident
    contrast = torch.where(torch.arange(queries) < confident, 1.0, 0.6)[:, None, None]
    noise = torch.randn(queries, 1, 20, 30, generator=generator)
    noise = F.interpolate(noise, size, mode="bicubic")[:, 0]
    masks = masks[repeated] * contrast + noise
    masks += 0.3 * torch.randn(queries, *size, generator=generator)
    class_logits = torch.randn(queries, classes + 1, generator=generator)
    labels = torch.randint(classes, (queries,), generator=generator)
    labels[confident:] = classes
    class_logits[torch.arange(queries), labels] += 9
    return class_logits, masks


def edge_distances(count: int, size: Size, generator: torch.Generator) -> Tensor:
    """Return the signed distance of cells to the edge of each region (q, h, w), in half edges."""

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, generator=generator)

    height, width = size
    large = (torch.arange(count) % 4 == 0)[:, None, None]
    radius = torch.where(large, draw(0.2, 0.6), draw(0.03, 0.15)) * height
    stretched = draw(0.6, 1.6)
    y = (torch.arange(height)[:, None] - draw(0, 1) * height) * stretched
    x = (torch.arange(width) - draw(0, 1) * width) / stretched
    uneven = torch.randn(count, 1, 8, 12, generator=generator)
    uneven = F.interpolate(uneven, size, mode="bicubic")[:, 0]
    depth = (radius * (1 + 0.25 * uneven) - (x**2 + y**2).sqrt()) / EDGE
    before = torch.where(large, 0.0, height / EDGE)  # objects are in front of stuff
    first, second = (depth.clamp(max=height / EDGE) + before.where(depth > 0, 0)).topk(2, dim=0)[0]
    in_front = depth.clamp(max=height / EDGE) + before.where(depth > 0, 0)
    rival = first.where(in_front < first, second)
    return torch.minimum(depth, in_front - rival)


def full_size(mask_logits: Tensor, padded: Size, shown: Size, original: Size) -> Tensor:
    """Resize all masks to full size, by both bilinear steps."""
    masks = []
    for logits in mask_logits:
        mask = F.interpolate(logits[None, None], padded, mode="bilinear")
        mask = mask[:, :, : shown[0], : shown[1]]
        masks.append(F.interpolate(mask, original, mode="bilinear")[0, 0])
    return torch.stack(masks)


def semantic(class_logits: Tensor, masks: Tensor, result: Result) -> tuple[int, int]:
    """Count pixels whose class differs from the rule's, and those of them that are not ties."""
    probs = class_logits.double().softmax(-1)[:, :-1].T
    found = torch.from_numpy(result.segmentation).long()
    differ = beyond = 0
    for top in range(0, masks.shape[1], STRIP):
        scores = (probs @ masks[:, top : top + STRIP].flatten(1).double().sigmoid()).unflatten(
            1, (-1, masks.shape[2])
        )
        best, winner = scores.max(0)
        chosen = found[top : top + STRIP]
        lost = best - scores.gather(0, chosen[None])[0]
        differ += int((chosen != winner).sum())
        beyond += int((lost > TIE).sum())
    return differ, beyond


def panoptic(
    class_logits: Tensor, masks: Tensor, result: Result, object_threshold: float, overlap: float
) -> tuple[int, int]:
    """Count pixels whose segment differs from the rule's, and those of them that are not ties."""
    scores, labels = class_logits.softmax(-1).max(-1)
    competes = (labels != class_logits.shape[1] - 1) & (scores > object_threshold)
    scores, labels, masks = scores[competes].double(), labels[competes], masks[competes]
    winner = torch.empty(masks.shape[1:], dtype=torch.long)
    half, tie = (torch.empty(masks.shape[1:], dtype=torch.bool) for _ in range(2))
    own = torch.zeros(len(masks), dtype=torch.long)
    for top in range(0, masks.shape[1], STRIP):
        rows = slice(top, top + STRIP)
        probs = masks[:, rows].double().sigmoid()
        best, owners = (probs * scores[:, None, None]).topk(2, dim=0)
        of_best = probs.gather(0, owners[:1])[0]
        winner[rows], half[rows] = owners[0], of_best >= 0.5
        tie[rows] = (best[0] - best[1] < TIE) | ((of_best - 0.5).abs() < TIE)
        own += (probs >= 0.5).sum((1, 2))
    ids, stuff, count = torch.zeros_like(winner), {}, 0
    for query, label in enumerate(labels.tolist()):
        won = winner == query
        if not (won & half).any() or won.sum() < overlap * own[query]:
            continue
        if result.labels.is_thing[label] or label not in stuff:
            count += 1
            stuff[label] = count
        ids[won & half] = count if result.labels.is_thing[label] else stuff[label]
    differ = torch.from_numpy(result.segmentation) != ids
    return int(differ.sum()), int((differ & ~tie).sum())


def instance(
    class_logits: Tensor, masks: Tensor, result: Result, threshold: float
) -> tuple[int, int]:
    """Count pixels of masks that differ from the rule's, and those of them that are not ties.

    All pixels of an extra or missing object, or of one whose score is off by more than 1e-5, count.
    """
    probs = class_logits.softmax(-1)[:, :-1]
    rows = []
    for score, pair in zip(*(part.tolist() for part in probs.flatten().topk(100)), strict=True):
        query, label = divmod(pair, probs.shape[1])
        inside = masks[query] > 0
        if score < threshold or not inside.any():
            continue
        total = score * float(masks[query].double().sigmoid()[inside].mean())
        if total >= threshold:
            rows.append((total, label, query))
    rows.sort(reverse=True)
    pixels = masks[0].numel()
    differ = beyond = pixels * abs(len(rows) - len(result))
    for (total, label, query), segment in zip(rows, result.segments, strict=False):
        wrong = torch.from_numpy(segment.mask) != (masks[query] > 0)
        tie = (masks[query].double().sigmoid() - 0.5).abs() < TIE
        differ += int(wrong.sum())
        beyond += int((wrong & ~tie).sum())
        if segment.label_id != label or segment.score is None or abs(segment.score - total) > 1e-5:
            beyond += pixels
    return differ, beyond
