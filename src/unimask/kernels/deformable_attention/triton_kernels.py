"""Deformable attention on a graphics card: softmax, sampling and their gradients, each in one pass.

A program works on some queries of one head of one picture. It reads the channels of a position at
once, in a row as they lie in memory, and keeps everything between inputs and outputs in registers.
Sums are float32 (float64 for float64), whatever the type of the inputs.
"""

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def attend(
    value, centres, steps_x, steps_y, scores, levels, out,
    positions, queries, channels, steps_row, scores_row,
    HEADS: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    SLOTS: tl.constexpr, C: tl.constexpr, WIDE: tl.constexpr, Q: tl.constexpr,
):  # fmt: skip
    """Write `out` (b q m c).

    `value` (b n m c) is contiguous; `levels` are height, width and first position of each map.
    Steps and scores (b q m k) lie in rows, one for each query, `steps_row` and `scores_row` apart.
    `SLOTS` and `C` are powers of two, no less than the number of points and of channels.
    """
    picture, head, query, row, here = own_queries(queries, HEADS, Q)
    K: tl.constexpr = LEVELS * POINTS
    steps, scores = row * steps_row + head * K, scores + row * scores_row + head * K
    tile, most = read_scores(scores, here, K, SLOTS, WIDE)
    total = tl.sum(tl.exp(tile - most[:, None]), 1)
    centre_x = tl.load(centres + 2 * query, here, 0.0).to(WIDE)
    centre_y = tl.load(centres + 2 * query + 1, here, 0.0).to(WIDE)
    lanes = tl.arange(0, C)
    first = (picture * positions * HEADS + head) * channels
    sums = tl.zeros((Q, C), WIDE)
    for level in range(LEVELS):
        height, width = tl.load(levels + 3 * level), tl.load(levels + 3 * level + 1)
        map = first + tl.load(levels + 3 * level + 2).to(tl.int64) * HEADS * channels
        for point in tl.static_range(POINTS):
            slot = level * POINTS + point
            x, right = locate(centre_x, steps_x + steps + slot, here, width, WIDE)
            y, down = locate(centre_y, steps_y + steps + slot, here, height, WIDE)
            weight = tl.exp(tl.load(scores + slot, here, 0.0).to(WIDE) - most) / total
            for corner in tl.static_range(4):
                across, along = part(right, corner % 2), part(down, corner // 2)
                place, inside = find(x + corner % 2, y + corner // 2, width, height, here)
                pixel = map + (place * HEADS * channels)[:, None] + lanes[None, :]
                mask = inside[:, None] & (lanes < channels)[None, :]
                share = (weight * across * along)[:, None]
                sums += share * tl.load(value + pixel, mask, 0.0).to(WIDE)
    bags = out + ((row * HEADS + head) * channels)[:, None] + lanes[None, :]
    tl.store(bags, sums.to(out.dtype.element_ty), here[:, None] & (lanes < channels)[None, :])


@triton.jit
def go_back(
    value, centres, steps_x, steps_y, scores, levels, to_out, to_value, to_steps, to_scores,
    positions, queries, channels, steps_row, scores_row,
    HEADS: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    SLOTS: tl.constexpr, C: tl.constexpr, WIDE: tl.constexpr, ADD: tl.constexpr, Q: tl.constexpr,
):  # fmt: skip
    """Write `to_steps` (b q 2 m k) and `to_scores` (b q m k); with ADD add to `to_value` (b n m c).

    Programs add to the same positions, in an order that nobody knows: with ADD, `to_value` differs
    from run to run by rounding. The rest is as in `attend`.
    """
    picture, head, query, row, here = own_queries(queries, HEADS, Q)
    K: tl.constexpr = LEVELS * POINTS
    steps, scores = row * steps_row + head * K, scores + row * scores_row + head * K
    tile, most = read_scores(scores, here, K, SLOTS, WIDE)
    total = tl.sum(tl.exp(tile - most[:, None]), 1)
    centre_x = tl.load(centres + 2 * query, here, 0.0).to(WIDE)
    centre_y = tl.load(centres + 2 * query + 1, here, 0.0).to(WIDE)
    lanes, slots = tl.arange(0, C), tl.arange(0, SLOTS)
    first = (picture * positions * HEADS + head) * channels
    bags = to_out + ((row * HEADS + head) * channels)[:, None] + lanes[None, :]
    slopes = tl.load(bags, here[:, None] & (lanes < channels)[None, :], 0.0).to(WIDE)
    to_x = to_steps + (row * 2 * HEADS + head) * K
    to_weights = tl.zeros((Q, SLOTS), WIDE)
    for level in range(LEVELS):
        height, width = tl.load(levels + 3 * level), tl.load(levels + 3 * level + 1)
        map = first + tl.load(levels + 3 * level + 2).to(tl.int64) * HEADS * channels
        for point in tl.static_range(POINTS):
            slot = level * POINTS + point
            x, right = locate(centre_x, steps_x + steps + slot, here, width, WIDE)
            y, down = locate(centre_y, steps_y + steps + slot, here, height, WIDE)
            weight = tl.exp(tl.load(scores + slot, here, 0.0).to(WIDE) - most) / total
            to_weight, to_right = tl.zeros((Q,), WIDE), tl.zeros((Q,), WIDE)
            to_down = tl.zeros((Q,), WIDE)
            for corner in tl.static_range(4):
                across, along = part(right, corner % 2), part(down, corner // 2)
                place, inside = find(x + corner % 2, y + corner // 2, width, height, here)
                pixel = map + (place * HEADS * channels)[:, None] + lanes[None, :]
                mask = inside[:, None] & (lanes < channels)[None, :]
                dot = tl.sum(tl.load(value + pixel, mask, 0.0).to(WIDE) * slopes, 1)
                to_weight += dot * across * along
                to_right += dot * along * (2 * (corner % 2) - 1)
                to_down += dot * across * (2 * (corner // 2) - 1)
                if ADD:
                    share = (weight * across * along)[:, None]
                    tl.atomic_add(to_value + pixel, share * slopes, mask, sem="relaxed")
            to_weights = tl.where((slots == slot)[None, :], to_weight[:, None], to_weights)
            tl.store(to_x + slot, weight * to_right, here)
            tl.store(to_x + HEADS * K + slot, weight * to_down, here)
    to_tile = to_scores + ((row * HEADS + head) * K)[:, None] + slots[None, :]
    weights = tl.exp(tile - most[:, None]) / total[:, None]
    of_softmax = weights * (to_weights - tl.sum(weights * to_weights, 1)[:, None])
    tl.store(to_tile, of_softmax, here[:, None] & (slots < K)[None, :])


@triton.jit
def own_queries(queries, HEADS: tl.constexpr, Q: tl.constexpr):
    """Give this program's picture, head and queries, their rows, and which of them exist."""
    query = (tl.program_id(0) * Q + tl.arange(0, Q)).to(tl.int64)
    picture, head = (tl.program_id(1) // HEADS).to(tl.int64), tl.program_id(1) % HEADS
    return picture, head, query, picture * queries + query, query < queries


@triton.jit
def read_scores(scores, here, K: tl.constexpr, SLOTS: tl.constexpr, WIDE: tl.constexpr):
    """Give the logits, minus infinity past the last, and the largest of each query."""
    slots = tl.arange(0, SLOTS)
    mask = here[:, None] & (slots < K)[None, :]
    tile = tl.load(scores[:, None] + slots[None, :], mask, 0.0).to(WIDE)
    tile = tl.where((slots < K)[None, :], tile, float("-inf"))
    return tile, tl.max(tile, 1)


@triton.jit
def locate(centre, steps, here, extent, WIDE: tl.constexpr):
    """Give the pixel at or before each point, along one axis, and how far beyond it the point is.

    Points outside are moved to where all neighbours are outside. One that is not a number stays
    none, and is given such a pixel.
    """
    place = centre * extent + tl.load(steps, here, 0.0).to(WIDE) - 0.5
    place = tl.where(place < -2, -2.0, tl.where(place > extent, extent.to(WIDE), place))
    whole = tl.floor(place)
    return tl.where(whole == whole, whole, -2.0).to(tl.int32), place - whole


@triton.jit
def part(beyond, corner: tl.constexpr):
    """Give the share of the pixel (0) or of the next one (1)."""
    return beyond if corner else 1 - beyond


@triton.jit
def find(x, y, width, height, here):
    """Give the position of pixels on their map, and which of them exist."""
    inside = here & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return y.to(tl.int64) * width + x, inside
