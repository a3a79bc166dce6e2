"""Panoptic segmentation: every pixel in at most one segment."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unimask.processing.resize import Resizer
from unimask.processing.tiles import best_row, place, tiles

Uncertain = Literal["void", "winner"]
"""Who gets a pixel where the best query's mask is below one half."""


class PanopticSegment(NamedTuple):
    """One segment: its id in the map (from 1), its class, and the class score of its query."""

    id: int
    label_id: int
    score: float


def panoptic_map(
    class_logits: Float[Tensor, "q k"],
    mask_logits: Float[Tensor, "q h w"],
    resizer: Resizer,
    is_thing: tuple[bool, ...],
    object_threshold: float,
    overlap_threshold: float,
    uncertain_pixels: Uncertain,
) -> tuple[Int[Tensor, "y x"], list[PanopticSegment]]:
    """Let confident queries compete for pixels (`panoptic_inference` of the authors).

    A query competes if its best class is not "no object" and scores above `object_threshold`.
    Each pixel goes to the query with the greatest class score times mask probability; where that
    mask's probability is below one half, `uncertain_pixels` says whether it stays void. A query
    that wins less than `overlap_threshold` of its own mask's area is dropped. Segments of one
    stuff class are one.

    Returns:
        Segment ids, 0 for void, and the segments in the order of their ids.
    """
    scores, label_ids = class_logits.float().softmax(-1).max(-1)
    competes = (label_ids != class_logits.shape[-1] - 1) & (scores > object_threshold)
    scores, label_ids = scores[competes], label_ids[competes]
    owners, areas = compete(mask_logits[competes].float(), scores, resizer, uncertain_pixels)
    table = torch.zeros(len(scores) + 1, dtype=torch.int32)
    segments: list[PanopticSegment] = []
    stuff: dict[int, int] = {}
    rows = zip(areas.tolist(), label_ids.tolist(), scores.tolist(), strict=True)
    for query, ((won, own, kept), label, score) in enumerate(rows):
        if not (own and kept) or won / own < overlap_threshold:
            continue
        if not is_thing[label] and label in stuff:
            table[query + 1] = stuff[label]
            continue
        segments.append(PanopticSegment(len(segments) + 1, label, score))
        table[query + 1] = segments[-1].id
        if not is_thing[label]:
            stuff[label] = segments[-1].id
    return table.to(owners.device)[owners.long()], segments


def compete(
    mask_logits: Float[Tensor, "q h w"],
    scores: Float[Tensor, " q"],
    resizer: Resizer,
    uncertain_pixels: Uncertain,
) -> tuple[Int[Tensor, "y x"], Int[Tensor, "q 3"]]:
    """Give each pixel to a query, and count.

    Returns:
        Query index + 1 per pixel, 0 for void; and per query the pixels where it was best, the
        pixels of its own mask, and those that it keeps.
    """
    count, device = len(scores), mask_logits.device
    owners = torch.zeros(resizer.size, dtype=torch.int16, device=device)
    areas = torch.zeros(count, 3, dtype=torch.long, device=device)
    if not count:
        return owners, areas
    for tile in tiles(resizer.size):
        patch = resizer.patch(mask_logits, tile)
        queries = contenders(patch, scores)
        probs = resizer.resize(patch[queries], tile).sigmoid_().flatten(1)
        inside = probs >= 0.5
        winner = best_row(probs * scores[queries, None])
        kept = inside.gather(0, winner[None])[0]
        if uncertain_pixels == "winner":
            kept = torch.ones_like(kept)
        size = len(queries)
        areas[queries, 0] += winner.bincount(minlength=size)
        areas[queries, 1] += inside.sum(1)
        areas[queries, 2] += winner[kept].bincount(minlength=size)
        place(owners, tile, torch.where(kept, queries[winner] + 1, 0))
    return owners, areas


def contenders(patch: Float[Tensor, "q i j"], scores: Float[Tensor, " q"]) -> Int[Tensor, " n"]:
    """Leave out queries that can neither win a pixel of the tile nor have one of their own.

    A tile's values lie between the extremes of its patch, so a query whose best case is worse
    than another's worst case wins nothing; one whose logits are all negative covers nothing.
    """
    flat = patch.flatten(1)
    highest, lowest = flat.amax(1), flat.amin(1)
    best_case, worst_case = scores * highest.sigmoid(), scores * lowest.sigmoid()
    slack = 1e-5
    return ((best_case >= worst_case.max() - slack) | (highest >= -slack)).nonzero()[:, 0]
