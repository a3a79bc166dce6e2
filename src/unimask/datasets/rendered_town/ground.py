"""Draw the ground: grass, fields, rivers and ponds."""

from math import cos, pi, sin

import numpy as np
from jaxtyping import Float32, Int

from unimask.datasets.rendered_town.canvas import Canvas, blend, full_patch, textured
from unimask.datasets.rendered_town.classes import FIELD_LABEL, GROUND_LABEL, WATER_LABEL
from unimask.datasets.rendered_town.hashing import Stream, uniform
from unimask.datasets.rendered_town.layout import Block, Kind
from unimask.datasets.rendered_town.water import river_distance
from unimask.datasets.rendered_town.window import Patch

SHALLOW, DEEP, MUD = (0.27, 0.35, 0.31), (0.11, 0.21, 0.25), (0.50, 0.44, 0.34)

FIELD_GAP = 2.4
"""Distance between fields and carriageways in metres, roughly."""

FIELD_BANK = 4.0
"""Distance between fields and rivers in metres."""

PARCEL_GAP = 0.6
"""Half the width of the strips of grass between parcels in metres."""


def index_blocks(canvas: Canvas, blocks: list[Block]) -> Int[np.ndarray, "h w"]:
    """Return the number of each pixel's block in the list."""
    index = np.zeros(canvas.label_ids.shape, np.int16)
    for number, block in enumerate(blocks):
        patch = canvas.fill(block.outline)
        if patch is not None:
            np.copyto(index[patch.rows, patch.columns], np.int16(number), where=patch.mask)
    return index


def draw_grass(canvas: Canvas, lawn: Float32[np.ndarray, "h w"]) -> None:
    """Draw grass everywhere: short and green on lawns, longer and in parts dry elsewhere."""
    season = canvas.style.season
    dryness = 0.42 + 0.55 * canvas.patches - 0.30 * lawn
    roughness = 0.065 - 0.03 * lawn
    light = 1 + roughness * canvas.grain + (0.11 - 0.06 * lawn) * canvas.clumps
    planes = blend(season.grass, season.dry_grass, np.clip(dryness, 0, 1))
    planes *= light
    canvas.rgb[:] = planes
    canvas.label_ids[:] = GROUND_LABEL


def draw_fields(
    canvas: Canvas,
    block: Block,
    road_gap: Float32[np.ndarray, "h w"],
    water_gap: Float32[np.ndarray, "h w"],
) -> None:
    """Draw the fields of a block: parcels side by side, each with rows of a crop.

    Args:
        canvas: Canvas.
        block: Block of the kind FIELD.
        road_gap: Distance from the nearest carriageway in metres.
        water_gap: Distance from the nearest river in metres.
    """
    patch = canvas.fill(block.outline)
    if patch is None:
        return
    rows, columns, mask = patch
    edge = FIELD_GAP + np.clip(0.5 * canvas.clumps[rows, columns], -0.5, 0.5)
    mask = mask & (road_gap[rows, columns] > edge) & (water_gap[rows, columns] > FIELD_BANK)

    def draw(number: int) -> float:
        return uniform(canvas.style.seed, Stream.FIELD, block.i, block.j, number)

    x, y = canvas.offsets((rows, columns), block.outline[0].tolist())
    angle = canvas.style.rotation + (0.5 * pi if draw(0) < 0.5 else 0) + 0.3 * (draw(1) - 0.5)
    width = 24 + 30 * draw(2)
    across = x * np.float32(cos(angle)) + y * np.float32(sin(angle)) + np.float32(10 * draw(3))
    parcel = np.floor(across / np.float32(width))
    to_edge = np.abs(across - (parcel + np.float32(0.5)) * np.float32(width))
    mask &= to_edge < np.float32(width / 2 - PARCEL_GAP)
    for number in np.unique(parcel[mask]).astype(int).tolist():
        inside = Patch(rows, columns, mask & (parcel == number))
        canvas.paint(inside, draw_crop(canvas, block, number, inside, angle), FIELD_LABEL)


def draw_crop(
    canvas: Canvas, block: Block, parcel: int, patch: Patch, angle: float
) -> Float32[np.ndarray, "3 h w"]:
    """Return the colours of a parcel: rows of plants, soil between them, and tramlines."""

    def draw(number: int) -> float:
        return uniform(canvas.style.seed, Stream.FIELD, block.i, block.j, 100 + parcel, number)

    slices = (patch.rows, patch.columns)
    season, x_y = canvas.style.season, canvas.offsets(slices, block.outline[0].tolist())
    direction = angle + (0.5 * pi if draw(0) < 0.25 else 0) + 0.08 * (draw(1) - 0.5)
    x, y = x_y
    position = x * np.float32(cos(direction)) + y * np.float32(sin(direction))
    spacing = max(0.75 + 1.1 * draw(2), 3.2 * canvas.style.scale)
    wobble = 0.10 * canvas.clumps[slices]
    phase = position / np.float32(spacing) + wobble
    row = np.abs(phase - np.floor(phase) - np.float32(0.5)) * 2  # 1 in the middle between plants
    patches, grain = canvas.patches[slices], canvas.grain[slices]
    light = 1 + (0.03 + 0.10 * np.float32(draw(3))) * (0.5 - row) + 0.05 * grain + 0.10 * patches
    tracks = position / np.float32(14 + 6 * draw(4))
    tracks = np.abs(np.abs(tracks - np.floor(tracks) - np.float32(0.5)) - np.float32(0.055))
    light -= np.float32(0.13) * (tracks < np.float32(0.018))
    crop = season.crops[int(draw(5) * len(season.crops))]
    tone = 0.9 + 0.2 * draw(6)
    return textured([channel * tone for channel in crop], light)


def draw_water(canvas: Canvas, water_gap: Float32[np.ndarray, "h w"]) -> None:
    """Draw rivers with their banks.

    Args:
        canvas: Canvas.
        water_gap: Distance from the nearest river in metres, negative in it.
    """
    bank = water_gap < 1.1 + 0.5 * canvas.clumps
    if bank.any():
        light = 1 + 0.06 * canvas.grain + 0.05 * canvas.clumps
        canvas.paint(full_patch(bank), textured(MUD, light), GROUND_LABEL)
        paint_water(canvas, full_patch(water_gap < 0), -water_gap / 5)


def paint_water(canvas: Canvas, patch: Patch, depth: Float32[np.ndarray, "h w"]) -> None:
    """Paint water with ripples; its depth is 0 at the bank and 1 where it is dark."""
    slices = (patch.rows, patch.columns)
    planes = blend(SHALLOW, DEEP, np.clip(depth + 0.12 * canvas.patches[slices], 0, 1))
    planes *= 1 + 0.05 * canvas.grain[slices] + 0.05 * canvas.clumps[slices]
    canvas.paint(patch, planes, WATER_LABEL)


def draw_pond(canvas: Canvas, block: Block) -> None:
    """Draw the pond of a block with its bank."""
    if block.pond is None:
        return
    centre = block.pond.mean(axis=0)
    bank = canvas.fill(centre + 1.07 * (block.pond - centre))
    if bank is not None:
        light = 1 + 0.06 * canvas.grain[bank.rows, bank.columns]
        canvas.paint(bank, textured(MUD, light), GROUND_LABEL)
    patch = canvas.fill(block.pond)
    if patch is None:
        return
    depth = np.zeros(patch.mask.shape, np.float32)
    for step in range(1, 9):
        inner = canvas.fill(centre + (1 - 0.09 * step) * (block.pond - centre))
        if inner is not None:
            top, left = (
                inner.rows.start - patch.rows.start,
                inner.columns.start - patch.columns.start,
            )
            height, width = inner.mask.shape
            depth[top : top + height, left : left + width] += np.float32(0.12) * inner.mask
    paint_water(canvas, patch, depth)


def water_distance(canvas: Canvas) -> Float32[np.ndarray, "h w"]:
    """Return the distance of each pixel from the nearest river in metres, negative in it."""
    window = canvas.window
    x, y = canvas.offsets((slice(0, window.height), slice(0, window.width)), (0.0, 0.0))
    return river_distance(canvas.style, x.astype(np.float64), y.astype(np.float64))


def lawn_share(blocks: list[Block], index: Int[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return 1 for pixels in blocks with lawns, 0 for those in blocks with rough grass."""
    mown = [block.kind in (Kind.HOMES, Kind.CENTRE, Kind.PARK) for block in blocks]
    return np.array(mown, np.float32)[index]
