"""Render an aerial view of a town: any window of it, at any time, with exact ground truth."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from unimask.datasets.rendered_town.blocks import block_bounds, build_block
from unimask.datasets.rendered_town.canvas import Canvas
from unimask.datasets.rendered_town.carriageways import (
    draw_car_park,
    draw_drive,
    draw_roads,
    map_roads,
)
from unimask.datasets.rendered_town.classes import BUILDING_LABEL, CAR_LABEL, TOWN_LABELS
from unimask.datasets.rendered_town.crowns import cast_tree_shadow, draw_tree
from unimask.datasets.rendered_town.exposure import MARGIN, apply_shadows, expose
from unimask.datasets.rendered_town.ground import (
    draw_fields,
    draw_grass,
    draw_pond,
    draw_water,
    index_blocks,
    lawn_share,
    water_distance,
)
from unimask.datasets.rendered_town.layout import MAX_BLOCK, URBAN, Block, Car, Kind, Thing
from unimask.datasets.rendered_town.roads import build_road, visible_grid
from unimask.datasets.rendered_town.roofs import cast_shadow, draw_building
from unimask.datasets.rendered_town.style import Style, draw_style
from unimask.datasets.rendered_town.traffic import MAX_SECONDS, moving_cars
from unimask.datasets.rendered_town.vehicles import car_outline, cast_car_shadow, draw_car
from unimask.datasets.rendered_town.window import Window
from unimask.errors import SettingsError
from unimask.labels import LabelSet

TILE = 1024
"""Height and width of the largest part that is rendered at once, which bounds the memory."""

SHADOW_REACH = 24.0
"""Distance in metres up to which objects outside of a window cast shadows into it."""

CAR_SHADOW = 2.0
"""Length of the shadows of cars in metres, at most."""


class RenderedTown(NamedTuple):
    """Rendered window of a town.

    Attributes:
        image: RGB image.
        label_ids: Label id of each pixel, as in `TOWN_LABELS`.
        ids: Id of the building or car at each pixel, 0 for stuff. An object has the same id in all
            windows and at all times.
    """

    image: UInt8[np.ndarray, "h w 3"]
    label_ids: UInt8[np.ndarray, "h w"]
    ids: Int[np.ndarray, "h w"]


@dataclass(frozen=True)
class TownScene:
    """Aerial view of a town, which any part can be rendered from.

    Attributes:
        seed: Seed of everything in the scene, 0 or greater.
        size: Height and width in pixels; windows may also lie outside.
        scale: Ground sample distance in metres per pixel; None to draw one from 0.18 to 0.28.

    Example:
        >>> scene = TownScene(seed=3, size=(20_000, 20_000))
        >>> part = scene.render(Window(row=9_000, column=4_000, height=64, width=96))
        >>> part.image.shape, part.ids.dtype
        ((64, 96, 3), dtype('int32'))
    """

    seed: int = 0
    size: tuple[int, int] = (512, 512)
    scale: float | None = None

    def __post_init__(self) -> None:
        """Validate the arguments.

        Raises:
            SettingsError: A value is out of range.
        """
        if self.seed < 0 or min(self.size) < 1:
            raise SettingsError(f"seed {self.seed} and size {self.size} must not be negative or 0")
        if self.scale is not None and not 0.05 <= self.scale <= 2:
            raise SettingsError(f"scale {self.scale} is not from 0.05 to 2 metres per pixel")

    @property
    def style(self) -> Style:
        """Properties of the scene, such as its season and the position of the sun."""
        return draw_style(self.seed, self.scale)

    @property
    def labels(self) -> LabelSet:
        """Classes of the ground truth."""
        return TOWN_LABELS

    def render(self, window: Window | None = None, time: float = 0.0) -> RenderedTown:
        """Render a window of the scene; it equals the same part of any larger window.

        Args:
            window: Window to render; None for the whole scene. It may lie outside of the scene.
            time: Time in seconds; cars move with it.

        Raises:
            SettingsError: The window is too far away, or the time is too long.
        """
        window = window or Window(0, 0, *self.size)
        result = RenderedTown(
            np.empty((window.height, window.width, 3), np.uint8),
            np.empty((window.height, window.width), np.uint8),
            np.empty((window.height, window.width), np.int32),
        )
        for tile in divide(window):
            top, left = tile.row - window.row, tile.column - window.column
            part = (slice(top, top + tile.height), slice(left, left + tile.width))
            for whole, piece in zip(result, render_tile(self.style, tile, time), strict=True):
                whole[part] = piece
        return result

    def cars(self, window: Window | None = None, time: float = 0.0) -> list[Car]:
        """Return the cars whose middle is in a window, with their velocities."""
        window = window or Window(0, 0, *self.size)
        low, high = bounds_in_metres(self.style, window, 0)
        return [
            car
            for car in find_cars(self.style, window, time)
            if low[0] <= car.body.x < high[0] and low[1] <= car.body.y < high[1]
        ]

    def things(self, window: Window | None = None, time: float = 0.0) -> Iterator[Thing]:
        """Yield the buildings and cars that are in a window, at least in part, as polygons.

        The polygons are whole outlines: parts below trees or outside of the window are included.
        """
        window = window or Window(0, 0, *self.size)
        inside = bounds_in_metres(self.style, window, 0)
        for tile in divide(window):
            part = bounds_in_metres(self.style, tile, 0)
            for thing in find_things(self.style, tile, time):
                least = np.maximum(thing.outline.min(axis=0), inside[0])
                greatest = np.minimum(thing.outline.max(axis=0), inside[1])
                # Each thing belongs to the tile of the middle of its visible box.
                middle = (least + greatest) / 2
                is_here = (middle >= part[0]).all() and (middle < part[1]).all()
                if is_here and (least < greatest).all():
                    yield thing


def divide(window: Window) -> Iterator[Window]:
    """Yield the parts of a window that are rendered at once."""
    for top in range(0, window.height, TILE):
        for left in range(0, window.width, TILE):
            height, width = min(TILE, window.height - top), min(TILE, window.width - left)
            yield Window(window.row + top, window.column + left, height, width)


def bounds_in_metres(
    style: Style, window: Window, margin: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return least and greatest x and y of a window with a margin, in metres."""
    top, left = window.row * style.scale, window.column * style.scale
    bottom = (window.row + window.height) * style.scale
    right = (window.column + window.width) * style.scale
    return (left - margin, top - margin), (right + margin, bottom + margin)


def find_grid(style: Style, window: Window) -> tuple[range, range]:
    """Return the indices of all blocks that may have objects or shadows in a window.

    Raises:
        SettingsError: The window is too far from the start of the scene.
    """
    columns, rows = visible_grid(style, *bounds_in_metres(style, window, SHADOW_REACH))
    least, greatest = min(columns[0], rows[0]), max(columns[-1], rows[-1])
    if least < -MAX_BLOCK or greatest >= MAX_BLOCK:
        raise SettingsError(
            f"{window} is too far away: all of it must be within "
            f"{int(0.7 * MAX_BLOCK * style.pitch / style.scale)} pixels of row 0, column 0"
        )
    return columns, rows


def find_blocks(style: Style, window: Window) -> list[Block]:
    """Return the blocks that have objects or shadows in a window, in an order without gaps.

    Raises:
        SettingsError: The window is too far from the start of the scene.
    """
    columns, rows = find_grid(style, window)
    low, high = bounds_in_metres(style, window, SHADOW_REACH)
    blocks = []
    for i in columns:
        for j in rows:
            left, top, right, bottom = block_bounds(style, i, j)
            if left < high[0] and top < high[1] and right > low[0] and bottom > low[1]:
                blocks.append(build_block(style, i, j))
    return blocks


def find_cars(style: Style, window: Window, time: float) -> list[Car]:
    """Return all cars near a window, parked ones included, in an order without gaps.

    Raises:
        SettingsError: The window is too far away, or the time is too long.
    """
    if not abs(time) <= MAX_SECONDS:
        raise SettingsError(f"time {time} is not within {MAX_SECONDS:.0f} seconds of 0")
    parked = [car for block in find_blocks(style, window) for car in block.cars]
    return [*parked, *moving_cars(style, *find_grid(style, window), time)]


def find_things(style: Style, window: Window, time: float) -> Iterator[Thing]:
    """Yield all buildings and cars near a window."""
    for block in find_blocks(style, window):
        for building in block.buildings:
            yield Thing(building.id, BUILDING_LABEL, building.outline)
    for car in find_cars(style, window, time):
        yield Thing(car.id, CAR_LABEL, car_outline(car))


def render_tile(style: Style, window: Window, time: float) -> RenderedTown:
    """Render a window at once."""
    canvas = Canvas(style, window.expand(MARGIN))
    blocks, cars = find_blocks(style, canvas.window), find_cars(style, canvas.window, time)
    draw_surfaces(canvas, blocks)
    cars = [car for car in cars if canvas.box(*car.bounds(CAR_SHADOW))]
    for car in cars:
        cast_car_shadow(canvas, car)
    for car in cars:
        draw_car(canvas, car)
    for block in blocks:
        for building in block.buildings:
            cast_shadow(canvas, building)
        for tree in block.trees:
            cast_tree_shadow(canvas, tree)
    apply_shadows(canvas)
    for block in blocks:
        for building in block.buildings:
            draw_building(canvas, building)
    for block in blocks:
        for tree in block.trees:
            draw_tree(canvas, tree)
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    return RenderedTown(expose(canvas, time), canvas.label_ids[inner], canvas.ids[inner])


def draw_surfaces(canvas: Canvas, blocks: list[Block]) -> None:
    """Draw everything flat: grass, fields, water, and roads."""
    columns, rows = find_grid(canvas.style, canvas.window)
    roads = [build_road(canvas.style, axis, i, j) for i in columns for j in rows for axis in (0, 1)]
    roads = [road for road in roads if road.exists]
    road_map, water_gap = map_roads(canvas, roads), water_distance(canvas)
    index = index_blocks(canvas, blocks)
    draw_grass(canvas, lawn_share(blocks, index))
    for block in blocks:
        if block.kind is Kind.FIELD:
            draw_fields(canvas, block, road_map.gap, water_gap)
    draw_water(canvas, water_gap)
    for block in blocks:
        draw_pond(canvas, block)
        for drive in block.paved:
            draw_drive(canvas, drive)
        for car_park in block.car_parks:
            draw_car_park(canvas, car_park)
    is_urban = np.array([block.kind in URBAN for block in blocks])[index]
    draw_roads(canvas, roads, road_map, is_urban, water_gap < 1.0)
