"""Draw roads with their markings, sidewalks and bridges, and drives and car parks."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int

from unimask.datasets.rendered_town.canvas import Canvas, full_patch, textured
from unimask.datasets.rendered_town.classes import GROUND_LABEL, ROAD_LABEL
from unimask.datasets.rendered_town.layout import Rectangle
from unimask.datasets.rendered_town.parking import BAY_WIDTH, bay_count
from unimask.datasets.rendered_town.roads import SIDEWALK, Road

ASPHALT, PAVING, GRAVEL = (0.40, 0.40, 0.415), (0.62, 0.60, 0.57), (0.58, 0.53, 0.45)
PAINT = 0.86
"""Brightness of markings."""

CORNER = 4.0
"""Size of the rounded corners of carriageways at junctions in metres."""

REACH = SIDEWALK + CORNER + 0.1
"""Distance beside carriageways up to which distances are computed, in metres."""

LANE = 2.65
"""Width of a lane of a main street in metres; parked cars stand beside it."""


class RoadMap(NamedTuple):
    """Position of each pixel relative to the nearest road.

    Attributes:
        gap: Distance from the edge of the carriageway in metres, negative on it; at most `REACH`.
        along: Distance from the start of the road in metres.
        lateral: Distance from the middle of the road in metres, positive on the right.
        number: Number of the road in the list.
    """

    gap: Float32[np.ndarray, "h w"]
    along: Float32[np.ndarray, "h w"]
    lateral: Float32[np.ndarray, "h w"]
    number: Int[np.ndarray, "h w"]


def map_roads(canvas: Canvas, roads: list[Road]) -> RoadMap:
    """Compute the position of each pixel relative to the nearest of some roads."""
    size = canvas.label_ids.shape
    axes = [
        RoadMap(np.full(size, REACH, np.float32), along, lateral, np.zeros(size, np.int16))
        for along, lateral in np.zeros((2, 2, *size), np.float32)
    ]
    for number, road in enumerate(roads):
        if canvas.bounds(road.points, road.half_width + REACH) is not None:
            for piece in range(len(road.points) - 1):
                map_piece(canvas, axes[road.axis], road, number, piece)
    first, second = axes
    is_second = second.gap < first.gap
    nearest = [np.where(is_second, b, a) for a, b in zip(first, second, strict=True)]
    # A smooth minimum (polynomial, by Inigo Quilez) of both distances rounds the corners.
    nearness = np.maximum(1 - np.abs(first.gap - second.gap) / CORNER, 0)
    nearest[0] -= nearness * nearness * np.float32(CORNER / 4)
    return RoadMap(*nearest)


def map_piece(canvas: Canvas, road_map: RoadMap, road: Road, number: int, piece: int) -> None:
    """Update the pixels near one straight piece of a road."""
    ends = road.points[piece : piece + 2]
    slices = canvas.bounds(ends, road.half_width + REACH)
    if slices is None:
        return
    (start_x, start_y), (end_x, end_y) = ends.tolist()
    length = float(road.positions[piece + 1] - road.positions[piece])
    right, down = (end_x - start_x) / length, (end_y - start_y) / length
    x, y = canvas.offsets(slices, (start_x, start_y))
    along = x * np.float32(right) + y * np.float32(down)
    lateral = y * np.float32(right) - x * np.float32(down)
    overshoot = along - np.clip(along, np.float32(0), np.float32(length))
    gap = np.sqrt(overshoot * overshoot + lateral * lateral) - np.float32(road.half_width)
    nearer = gap < road_map.gap[slices]
    np.copyto(road_map.gap[slices], gap, where=nearer)
    along += np.float32(road.positions[piece])
    np.copyto(road_map.along[slices], along, where=nearer)
    np.copyto(road_map.lateral[slices], lateral, where=nearer)
    np.copyto(road_map.number[slices], np.int16(number), where=nearer)


def draw_roads(
    canvas: Canvas,
    roads: list[Road],
    road_map: RoadMap,
    is_urban: Bool[np.ndarray, "h w"],
    is_bridge: Bool[np.ndarray, "h w"],
) -> None:
    """Draw carriageways, sidewalks in towns and on bridges, and verges elsewhere.

    Args:
        canvas: Canvas.
        roads: Roads.
        road_map: Their `map_roads`.
        is_urban: Pixels of blocks with sidewalks.
        is_bridge: Pixels over water.
    """
    gap, grain, clumps = road_map.gap, canvas.grain, canvas.clumps
    walk = (gap >= 0) & (gap < SIDEWALK) & (is_urban | is_bridge)
    verge = (gap >= 0) & (gap < 0.8 + 0.4 * clumps) & ~walk
    canvas.paint(full_patch(verge), textured(GRAVEL, 1 + 0.07 * grain), GROUND_LABEL)
    light = 1 + 0.03 * grain + 0.03 * clumps - np.float32(0.14) * (gap > SIDEWALK - 0.3)
    canvas.paint(full_patch(walk), textured(PAVING, light), ROAD_LABEL)
    kerb = walk & (gap < 0.28)
    canvas.paint(full_patch(kerb), (0.70, 0.69, 0.66))
    light = 1 + 0.04 * grain + 0.035 * clumps + 0.05 * canvas.patches
    tracks = np.abs(np.abs(np.abs(road_map.lateral) - LANE / 2) - 0.75)
    light -= np.float32(0.05) * np.clip(1 - tracks / 0.5, 0, 1)
    canvas.paint(full_patch(gap < 0), textured(ASPHALT, light), ROAD_LABEL)
    draw_markings(canvas, roads, road_map)


def draw_markings(canvas: Canvas, roads: list[Road], road_map: RoadMap) -> None:
    """Draw centre lines, lines of parking lanes and crosswalks on main streets."""
    is_main = np.array([road.is_main for road in roads] or [False])[road_map.number]
    is_main &= road_map.gap < 0
    if not is_main.any():
        return
    gap, along, lateral, number = (plane[is_main] for plane in road_map)
    half_line = np.float32(max(0.09, 0.52 * canvas.style.scale))
    first = np.array([road.clear[0] for road in roads], np.float32)
    last = np.array([road.length - road.clear[1] for road in roads], np.float32)
    to_crossing = np.minimum(along - first[number], last[number] - along)
    side = np.abs(lateral)
    marked = (side < half_line) & (to_crossing > 5.5)
    marked &= (repeat(along, 6.0) < 3.2) | (to_crossing < 16)
    is_tick = (np.abs(side - LANE - 0.35) < half_line) & (repeat(along, 2.1) < 1.1)
    marked |= is_tick & (to_crossing > 7.5)
    has_crosswalk = np.array([min(road.clear) > 0 for road in roads])[number]
    zebra = (to_crossing > 1.2) & (to_crossing < 4.0) & has_crosswalk & (gap < -0.4)
    marked |= zebra & (repeat(lateral + np.float32(0.3), 1.2) < 0.62)
    is_main[is_main] = marked
    wear = PAINT - 0.10 * np.abs(canvas.clumps) + 0.03 * canvas.grain
    canvas.paint(full_patch(is_main), textured((1.0, 1.0, 0.97), wear))


def repeat(values: Float32[np.ndarray, " n"], period: float) -> Float32[np.ndarray, " n"]:
    """Return values modulo a period."""
    return values - np.floor(values * np.float32(1 / period)) * np.float32(period)


def draw_drive(canvas: Canvas, drive: Rectangle) -> None:
    """Draw a drive or a paved yard."""
    patch = canvas.fill(drive.corners())
    if patch is not None:
        slices = (patch.rows, patch.columns)
        tone = 0.88 + 0.2 * ((drive.x * 7.31 + drive.y * 3.17) % 1.0)
        light = np.float32(tone) + 0.05 * canvas.grain[slices] + 0.03 * canvas.clumps[slices]
        canvas.paint(patch, textured((0.58, 0.55, 0.52), light), ROAD_LABEL)


def draw_car_park(canvas: Canvas, car_park: Rectangle) -> None:
    """Draw a car park with lines between its bays."""
    kerb = canvas.fill(car_park.corners(0.5))
    if kerb is not None:
        canvas.paint(kerb, (0.68, 0.67, 0.64), ROAD_LABEL)
    patch = canvas.fill(car_park.corners())
    if patch is None:
        return
    slices = (patch.rows, patch.columns)
    light = 1 + 0.045 * canvas.grain[slices] + 0.05 * canvas.clumps[slices]
    x, y = canvas.offsets(slices, (car_park.x, car_park.y))
    right, down = (np.float32(value) for value in car_park.direction)
    along, across = x * right + y * down, np.abs(y * right - x * down)
    half_row = np.float32(bay_count(car_park) * BAY_WIDTH / 2)
    bay = (along + half_row) / np.float32(BAY_WIDTH)
    half_line = np.float32(max(0.08, 0.5 * canvas.style.scale) / BAY_WIDTH)
    lines = np.abs(bay - np.round(bay)) < half_line
    lines &= (across > car_park.half_width - 5.3) & (np.abs(along) < half_row + 0.2)
    colours = textured([channel * 0.93 for channel in ASPHALT], light)
    np.copyto(colours, np.float32(PAINT - 0.06), where=lines)
    canvas.paint(patch, colours, ROAD_LABEL)
