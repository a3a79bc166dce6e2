"""Triton kernels of deformable attention: softmax, sampling and their gradients in one pass each.

A program processes a tile of queries of one head of one image. It loads the channels of a position
together, contiguous in memory, and keeps all intermediate results in registers. Sums are float32
(float64 for float64), whatever the dtype of the inputs.
"""

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def forward_kernel(
    value, centres, steps_x, steps_y, scores, levels, out,
    positions, queries, channels, steps_row, scores_row,
    HEADS: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    SLOTS: tl.constexpr, C: tl.constexpr, WIDE: tl.constexpr, Q: tl.constexpr,
):  # fmt: skip
    """Write the output to `out` (b q m c).

    `value` (b n m c) is contiguous; `levels` holds height, width and first position of each map.
    Steps and scores (b q m k) are rows, one per query, at strides `steps_row` and `scores_row`.
    `SLOTS` and `C` are powers of two, not less than the number of points and of channels.
    """
    image, head, query, row, valid = program_queries(queries, HEADS, Q)
    K: tl.constexpr = LEVELS * POINTS
    steps, scores = row * steps_row + head * K, scores + row * scores_row + head * K
    tile, maximum = load_scores(scores, valid, K, SLOTS, WIDE)
    total = tl.sum(tl.exp(tile - maximum[:, None]), 1)
    centre_x = tl.load(centres + 2 * query, valid, 0.0).to(WIDE)
    centre_y = tl.load(centres + 2 * query + 1, valid, 0.0).to(WIDE)
    lanes = tl.arange(0, C)
    first = (image * positions * HEADS + head) * channels
    sums = tl.zeros((Q, C), WIDE)
    for level in range(LEVELS):
        height, width = tl.load(levels + 3 * level), tl.load(levels + 3 * level + 1)
        map = first + tl.load(levels + 3 * level + 2).to(tl.int64) * HEADS * channels
        for point in tl.static_range(POINTS):
            slot = level * POINTS + point
            x, right = locate(centre_x, steps_x + steps + slot, valid, width, WIDE)
            y, down = locate(centre_y, steps_y + steps + slot, valid, height, WIDE)
            weight = tl.exp(tl.load(scores + slot, valid, 0.0).to(WIDE) - maximum) / total
            for corner in tl.static_range(4):
                across, along = corner_weight(right, corner % 2), corner_weight(down, corner // 2)
                location, inside = position(x + corner % 2, y + corner // 2, width, height, valid)
                pixel = map + (location * HEADS * channels)[:, None] + lanes[None, :]
                mask = inside[:, None] & (lanes < channels)[None, :]
                share = (weight * across * along)[:, None]
                sums += share * tl.load(value + pixel, mask, 0.0).to(WIDE)
    bags = out + ((row * HEADS + head) * channels)[:, None] + lanes[None, :]
    tl.store(bags, sums.to(out.dtype.element_ty), valid[:, None] & (lanes < channels)[None, :])


@triton.jit
def backward_kernel(
    value, centres, steps_x, steps_y, scores, levels, grad_out, grad_value, grad_steps, grad_scores,
    positions, queries, channels, steps_row, scores_row,
    HEADS: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    SLOTS: tl.constexpr, C: tl.constexpr, WIDE: tl.constexpr, ADD: tl.constexpr, Q: tl.constexpr,
):  # fmt: skip
    """Write `grad_steps` (b q 2 m k) and `grad_scores` (b q m k); with ADD add to `grad_value`.

    `grad_value` has the shape of `value`. Programs add to the same positions in no fixed order:
    with ADD, it differs between runs by rounding. All else is as in `forward_kernel`.
    """
    image, head, query, row, valid = program_queries(queries, HEADS, Q)
    K: tl.constexpr = LEVELS * POINTS
    steps, scores = row * steps_row + head * K, scores + row * scores_row + head * K
    tile, maximum = load_scores(scores, valid, K, SLOTS, WIDE)
    total = tl.sum(tl.exp(tile - maximum[:, None]), 1)
    centre_x = tl.load(centres + 2 * query, valid, 0.0).to(WIDE)
    centre_y = tl.load(centres + 2 * query + 1, valid, 0.0).to(WIDE)
    lanes, slots = tl.arange(0, C), tl.arange(0, SLOTS)
    first = (image * positions * HEADS + head) * channels
    bags = grad_out + ((row * HEADS + head) * channels)[:, None] + lanes[None, :]
    slopes = tl.load(bags, valid[:, None] & (lanes < channels)[None, :], 0.0).to(WIDE)
    grad_x = grad_steps + (row * 2 * HEADS + head) * K
    grad_weights = tl.zeros((Q, SLOTS), WIDE)
    for level in range(LEVELS):
        height, width = tl.load(levels + 3 * level), tl.load(levels + 3 * level + 1)
        map = first + tl.load(levels + 3 * level + 2).to(tl.int64) * HEADS * channels
        for point in tl.static_range(POINTS):
            slot = level * POINTS + point
            x, right = locate(centre_x, steps_x + steps + slot, valid, width, WIDE)
            y, down = locate(centre_y, steps_y + steps + slot, valid, height, WIDE)
            weight = tl.exp(tl.load(scores + slot, valid, 0.0).to(WIDE) - maximum) / total
            grad_weight, grad_right = tl.zeros((Q,), WIDE), tl.zeros((Q,), WIDE)
            grad_down = tl.zeros((Q,), WIDE)
            for corner in tl.static_range(4):
                across, along = corner_weight(right, corner % 2), corner_weight(down, corner // 2)
                location, inside = position(x + corner % 2, y + corner // 2, width, height, valid)
                pixel = map + (location * HEADS * channels)[:, None] + lanes[None, :]
                mask = inside[:, None] & (lanes < channels)[None, :]
                dot = tl.sum(tl.load(value + pixel, mask, 0.0).to(WIDE) * slopes, 1)
                grad_weight += dot * across * along
                grad_right += dot * along * (2 * (corner % 2) - 1)
                grad_down += dot * across * (2 * (corner // 2) - 1)
                if ADD:
                    share = (weight * across * along)[:, None]
                    tl.atomic_add(grad_value + pixel, share * slopes, mask, sem="relaxed")
            grad_weights = tl.where((slots == slot)[None, :], grad_weight[:, None], grad_weights)
            tl.store(grad_x + slot, weight * grad_right, valid)
            tl.store(grad_x + HEADS * K + slot, weight * grad_down, valid)
    grad_tile = grad_scores + ((row * HEADS + head) * K)[:, None] + slots[None, :]
    weights = tl.exp(tile - maximum[:, None]) / total[:, None]
    grad_logits = weights * (grad_weights - tl.sum(weights * grad_weights, 1)[:, None])
    tl.store(grad_tile, grad_logits, valid[:, None] & (slots < K)[None, :])


@triton.jit
def program_queries(queries, HEADS: tl.constexpr, Q: tl.constexpr):
    """Return this program's image, head and queries, their rows, and a mask of existing queries."""
    query = (tl.program_id(0) * Q + tl.arange(0, Q)).to(tl.int64)
    image, head = (tl.program_id(1) // HEADS).to(tl.int64), tl.program_id(1) % HEADS
    return image, head, query, image * queries + query, query < queries


@triton.jit
def load_scores(scores, valid, K: tl.constexpr, SLOTS: tl.constexpr, WIDE: tl.constexpr):
    """Load the logits, minus infinity in unused slots, and the maximum of each query."""
    slots = tl.arange(0, SLOTS)
    mask = valid[:, None] & (slots < K)[None, :]
    tile = tl.load(scores[:, None] + slots[None, :], mask, 0.0).to(WIDE)
    tile = tl.where((slots < K)[None, :], tile, float("-inf"))
    return tile, tl.max(tile, 1)


@triton.jit
def locate(centre, steps, valid, extent, WIDE: tl.constexpr):
    """Split locations along one axis into the pixel at or before each point, and the remainder.

    Points outside the map are moved to where all neighbours are outside. A NaN location keeps a
    NaN remainder and gets such a pixel.
    """
    location = centre * extent + tl.load(steps, valid, 0.0).to(WIDE) - 0.5
    location = tl.where(location < -2, -2.0, tl.where(location > extent, extent.to(WIDE), location))
    pixel_index = tl.floor(location)
    return tl.where(pixel_index == pixel_index, pixel_index, -2.0).to(
        tl.int32
    ), location - pixel_index


@triton.jit
def corner_weight(fraction, corner: tl.constexpr):
    """Return the bilinear weight of the pixel (corner 0) or of the next one (corner 1)."""
    return fraction if corner else 1 - fraction


@triton.jit
def position(x, y, width, height, valid):
    """Return the flat position of pixels in their map, and a mask of those inside it."""
    inside = valid & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return y.to(tl.int64) * width + x, inside
