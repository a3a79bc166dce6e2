"""Build blocks: what stands in each, as a function of the seed and of its place alone."""

from functools import lru_cache
from math import pi

import numpy as np

from unimask.datasets.rendered_town.block_site import Site, choose_kind
from unimask.datasets.rendered_town.hashing import Stream, block_generator
from unimask.datasets.rendered_town.houses import Plot, build_plots, place_car_park
from unimask.datasets.rendered_town.layout import (
    FIRST_CAR,
    MAX_NUMBER,
    URBAN,
    Block,
    Car,
    Kind,
    Rectangle,
    fixed_id,
)
from unimask.datasets.rendered_town.parking import draw_car, park_at_roads, park_in_bays
from unimask.datasets.rendered_town.planting import plant_trees
from unimask.datasets.rendered_town.roads import MAX_HALF_WIDTH, SIDEWALK
from unimask.datasets.rendered_town.style import Style

POND_SHARES = {Kind.PARK: 0.55, Kind.MEADOW: 0.3}
"""Share of blocks with a pond, by kind."""

PARKED_IN_DRIVES = 0.6

OVERHANG = MAX_HALF_WIDTH + SIDEWALK + 3.0
"""Distance in metres up to which objects of a block may lie outside of its border."""


@lru_cache(maxsize=512)
def build_block(style: Style, i: int, j: int) -> Block:
    """Build a block with all its objects."""
    site, kind = Site(style, i, j), choose_kind(style, i, j)
    random = block_generator(style.seed, Stream.BLOCK, i, j)
    car_parks = place_car_park(site, random) if kind is Kind.CENTRE else ()
    plots = build_plots(site, kind, random, car_parks) if kind in URBAN else []
    pond = place_pond(site, kind, random)
    paved = tuple(plot.drive for plot in plots if plot.drive is not None)
    paved += tuple(plot.yard for plot in plots if plot.yard is not None)
    occupied = [*paved, *car_parks]
    trees = plant_trees(site, kind, random, [plot.lot for plot in plots], occupied, pond)
    return Block(
        i=i,
        j=j,
        kind=kind,
        outline=site.outline,
        buildings=tuple(plot.building for plot in plots),
        cars=park_cars(site, kind, random, plots, car_parks),
        trees=trees,
        paved=paved,
        car_parks=car_parks,
        pond=pond,
    )


@lru_cache(maxsize=2048)
def block_bounds(style: Style, i: int, j: int) -> tuple[float, float, float, float]:
    """Return least x and y, and greatest x and y, of everything in a block, without shadows."""
    outline = Site(style, i, j).outline
    (left, top), (right, bottom) = outline.min(axis=0).tolist(), outline.max(axis=0).tolist()
    return left - OVERHANG, top - OVERHANG, right + OVERHANG, bottom + OVERHANG


def park_cars(
    site: Site,
    kind: Kind,
    random: np.random.Generator,
    plots: list[Plot],
    car_parks: tuple[Rectangle, ...],
) -> tuple[Car, ...]:
    """Return the cars that are parked in a block and at two of its roads."""
    places = park_at_roads(site, kind, random)
    places += [place for car_park in car_parks for place in park_in_bays(car_park, random)]
    for plot in plots:
        if plot.drive is not None and random.random() < PARKED_IN_DRIVES:
            places.append((plot.parking_place(), plot.drive.direction))
    numbers = range(FIRST_CAR, MAX_NUMBER + 1)
    return tuple(
        draw_car(fixed_id(site.i, site.j, number), random.random(4), *place)
        for number, place in zip(numbers, places, strict=False)
    )


def place_pond(site: Site, kind: Kind, random: np.random.Generator) -> np.ndarray | None:
    """Return the polygon of a pond, or None if the block has no pond or no room for it."""
    if random.random() >= POND_SHARES.get(kind, 0.0):
        return None
    centre = site.place(*(0.42 + 0.16 * random.random((2, 1))))[0]
    angles = np.linspace(0, 2 * pi, 48, endpoint=False)
    radius = np.full(48, 1.0)
    for waves, height in ((2, 0.22), (3, 0.12), (5, 0.05)):
        radius += height * np.sin(waves * angles + 2 * pi * random.random())
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None]
    for size in (0.20, 0.14, 0.09):
        outline = centre + size * site.style.pitch * directions
        if site.road_distance(outline).min() > 4 and site.water_distance(outline).min() > 4:
            return outline
    return None
