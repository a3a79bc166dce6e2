"""Plant the trees of a block: in gardens and parks, in woods, and along streets."""

from math import pi

import numpy as np
from jaxtyping import Bool, Float, Float32

from unimask.datasets.rendered_town.block_site import Site
from unimask.datasets.rendered_town.layout import URBAN, Kind, Rectangle, Tree
from unimask.datasets.rendered_town.roads import SIDEWALK
from unimask.datasets.rendered_town.window import Window, fill_polygon

NUMBERS = {Kind.HOMES: 44, Kind.CENTRE: 20, Kind.PARK: 60, Kind.MEADOW: 9, Kind.FIELD: 0}
"""Number of trees that are tried in a block, by its kind; woods have a dense pattern."""

WOOD_SPACING = 4.6
"""Distance between the trees of a wood in metres."""

STREET_SPACING = 9.5
"""Distance between the trees along main streets in metres."""

HEDGE_SHARE = 0.55
"""Share of houses with a hedge."""

HEDGE_SPACING = 1.0
"""Distance between the bushes of a hedge in metres."""

LOBES = 6
"""Number of lobes around the middle of a crown."""


def plant_trees(
    site: Site,
    kind: Kind,
    random: np.random.Generator,
    lots: list[Rectangle],
    paved: list[Rectangle],
    pond: np.ndarray | None,
) -> tuple[Tree, ...]:
    """Return the trees of a block, where nothing else stands, the smallest first.

    Args:
        site: Site of the block.
        kind: Kind of the block.
        random: Random generator.
        lots: Rectangles around the buildings.
        paved: Paved ground.
        pond: Polygon of a pond, or None.
    """
    groups = [plant_wood(site, random) if kind is Kind.FOREST else plant_groups(site, kind, random)]
    if kind in URBAN:
        groups.append(plant_rows(site, random))
    if kind is Kind.HOMES:
        groups.append(plant_hedges(lots, random))
    points, radii = (np.concatenate(values) for values in zip(*groups, strict=True))
    free = find_free(site, points, radii)
    for lot in lots:
        free &= ~near_rectangle(lot, points, 0.7 * radii)
    for rectangle in paved:
        free &= ~near_rectangle(rectangle, points, 0.6 * radii)
    if pond is not None:
        free &= ~inside_polygon(pond, points)
    points, radii = points[free], radii[free]
    colours, brightness = random.random((2, len(points)))
    brightness = 0.98 + 0.24 * brightness
    lobes = shape_crowns(random, radii)
    trees = zip(*points.T.tolist(), radii.tolist(), colours, brightness, lobes, strict=True)
    return tuple(
        Tree(x, y, radius, int(colour * 1000), float(light), shape)
        for x, y, radius, colour, light, shape in sorted(trees, key=lambda tree: tree[2])
    )


def shape_crowns(
    random: np.random.Generator, radii: Float[np.ndarray, " n"]
) -> Float32[np.ndarray, "n l 3"]:
    """Return x, y and radius of the lobes of crowns: one in the middle, others around it."""
    number = len(radii)
    turn, size, gap = random.random((3, number, LOBES))
    angle = 2 * pi * (turn[:, :1] + (np.arange(LOBES) + 0.5 * turn) / LOBES)
    size = 0.34 + 0.14 * size
    away = 0.99 - size - 0.10 * gap
    around = np.stack([away * np.cos(angle), away * np.sin(angle), size], axis=2)
    middle = np.broadcast_to([0.0, 0.0, 0.72], (number, 1, 3))
    lobes = np.concatenate([middle, around], axis=1) * radii[:, None, None]
    return lobes.astype(np.float32)


def plant_groups(
    site: Site, kind: Kind, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return points and radii of trees, half of them in groups around others."""
    number = NUMBERS[kind]
    single = number // 2
    points = site.place(*random.random((2, number)))
    if number:
        leaders = (random.random(number - single) * max(single // 2, 1)).astype(int)
        points[single:] = points[leaders] + 11 * (random.random((number - single, 2)) - 0.5)
    return points, 1.5 + 2.7 * random.random(number) ** 1.4


def plant_wood(site: Site, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return points and radii of the trees of a wood: a disturbed grid with gaps."""
    count = int(site.style.pitch / WOOD_SPACING)
    u, v = np.meshgrid(np.arange(count), np.arange(count))
    shift = random.random((2, count * count)) - 0.5
    points = site.place((u.ravel() + 0.5 + shift[0]) / count, (v.ravel() + 0.5 + shift[1]) / count)
    radii = 2.1 + 1.9 * random.random(count * count)
    grows = random.random(count * count) < 0.93
    return points[grows], radii[grows]


def plant_rows(site: Site, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return points and radii of trees at the outer edges of the sidewalks of main streets."""
    points = [np.zeros((0, 2))]
    for road, side in site.borders:
        first, last = road.clear[0] + 7, road.length - road.clear[1] - 7
        positions = np.arange(first, last, STREET_SPACING) if road.is_main else np.zeros(0)
        positions = positions[random.random(len(positions)) < 0.6]
        lateral = np.full(len(positions), side * (road.half_width + SIDEWALK + 0.35))
        points.append(road.place(positions, lateral)[0])
    all_points = np.concatenate(points)
    return all_points, 1.6 + 0.9 * random.random(len(all_points))


def plant_hedges(
    lots: list[Rectangle], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return points and radii of the bushes of hedges, each beside a house or behind it."""
    points = [np.zeros((0, 2))]
    for lot in lots:
        share, end, side, gap = random.random(4)
        if share < HEDGE_SHARE:
            away = 2.2 + 2 * gap
            reach = lot.half_length + away
            along = np.arange(-reach, reach, HEDGE_SPACING)
            across = np.full(len(along), (1 if side < 0.5 else -1) * (lot.half_width + away))
            line = np.stack([along / lot.half_length, across / lot.half_width], axis=1)
            if end < 0.4:  # beside the house rather than along the street
                reach = lot.half_width + away
                across = np.arange(-reach, reach, HEDGE_SPACING)
                place = (1 if side < 0.5 else -1) * (lot.half_length + away) / lot.half_length
                line = np.stack([np.full(len(across), place), across / lot.half_width], axis=1)
            points.append(lot.points(line))
    all_points = np.concatenate(points)
    return all_points, 0.75 + 0.35 * random.random(len(all_points))


def find_free(site: Site, points: np.ndarray, radii: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Return which trees stand on land and off the roads."""
    if not len(points):
        return np.zeros(0, bool)
    off_road = site.road_distance(points) > 1.0 + 0.4 * radii
    return off_road & (site.water_distance(points) > 1)


def near_rectangle(
    rectangle: Rectangle, points: np.ndarray, gaps: np.ndarray
) -> Bool[np.ndarray, " n"]:
    """Return which points are in a rectangle or closer to it than their gap."""
    x, y = points[:, 0] - rectangle.x, points[:, 1] - rectangle.y
    right, down = rectangle.direction
    is_along = np.abs(x * right + y * down) < rectangle.half_length + gaps
    return is_along & (np.abs(y * right - x * down) < rectangle.half_width + gaps)


def inside_polygon(outline: np.ndarray, points: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Return which points are in a polygon or within a metre of it, roughly."""
    low = np.floor(outline.min(axis=0)).astype(int) - 1
    size = np.ceil(outline.max(axis=0)).astype(int) + 2 - low
    patch = fill_polygon(outline, Window(int(low[1]), int(low[0]), int(size[1]), int(size[0])))
    if patch is None:
        return np.zeros(len(points), bool)
    mask = np.zeros((size[1] + 1, size[0] + 1), bool)
    mask[patch.rows, patch.columns] = patch.mask
    x, y = (np.floor(points) - low).astype(int).T
    return mask[np.clip(y, -1, size[1]), np.clip(x, -1, size[0])]
