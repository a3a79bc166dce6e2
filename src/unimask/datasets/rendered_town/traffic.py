"""Moving cars: lanes of cars that follow main streets at constant speed.

Position along a street is counted in roads: u = i + the share of road i that lies behind. The cars
of one direction have places 1 / PLACES apart, which move with u = u0 ± pace × time, so that the
cars in any window at any time are known without a simulation. Cars of crossing streets pass
junctions alternately: places of axis 1 are shifted by half a distance.
"""

from math import ceil

import numpy as np

from unimask.datasets.rendered_town.hashing import Stream, uniform
from unimask.datasets.rendered_town.layout import Car, moving_id
from unimask.datasets.rendered_town.parking import draw_car
from unimask.datasets.rendered_town.roads import build_road, is_main_street
from unimask.datasets.rendered_town.style import Style

PLACES = 3
"""Number of places for cars of one direction on a road."""

JITTER = 0.2
"""Range of the displacement of cars in their places, as a share of a place."""

LANE_MIDDLE = 1.45
"""Distance of the middle of a lane from the middle of the street in metres."""

MAX_SECONDS = 36_000.0
"""Greatest time in seconds; ids of cars would repeat much later."""


def moving_cars(style: Style, columns: range, rows: range, time: float) -> list[Car]:
    """Return the moving cars on the roads of some blocks, sorted by id.

    Args:
        style: Style of the scene.
        columns: Indices of the blocks along axis 0 of the street grid.
        rows: Indices along axis 1.
        time: Time in seconds.
    """
    cars = []
    for axis, streets, along in ((0, rows, columns), (1, columns, rows)):
        for street in streets:
            if is_main_street(style, axis, street):
                for index in along:
                    for is_reverse in (False, True):
                        cars += cars_on_road(style, axis, street, index, is_reverse, time)
    return sorted(cars, key=lambda car: car.id)


def cars_on_road(
    style: Style, axis: int, street: int, index: int, is_reverse: bool, time: float
) -> list[Car]:
    """Return the cars of one direction on road `index` of a main street."""
    road = build_road(style, axis, *((street, index) if axis else (index, street)))
    side = -1 if is_reverse else 1
    shift = axis / 2 + side * style.pace * time * PLACES
    cars = []
    for slot in range(ceil(index * PLACES - shift - 1), ceil((index + 1) * PLACES - shift + 1)):
        key = (style.seed, Stream.TRAFFIC, axis, street, int(is_reverse), slot)
        jitter = JITTER * (uniform(*key, 0) - 0.5)
        share = (slot + jitter + shift) / PLACES - index
        if 0 <= share < 1 and uniform(*key, 1) < style.traffic:
            draws = np.array([uniform(*key, number) for number in (2, 3, 4, 5)])
            lateral = np.array([side * LANE_MIDDLE])
            (point,), (forward,) = road.place(np.array([share * road.length]), lateral)
            direction = (side * float(forward[0]), side * float(forward[1]))
            speed = style.pace * road.length
            velocity = (direction[0] * speed, direction[1] * speed)
            id = moving_id(axis, street, is_reverse, slot)
            cars.append(draw_car(id, draws, point, direction, velocity))
    return cars
