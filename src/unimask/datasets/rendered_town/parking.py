"""Parked cars: at the kerbs of roads, in the bays of car parks, and in drives."""

from math import floor

import numpy as np

from unimask.datasets.rendered_town.block_site import Site
from unimask.datasets.rendered_town.layout import URBAN, Car, Kind, Rectangle
from unimask.datasets.rendered_town.roads import Road

CAR_HALF_WIDTH = 0.93
KERB_GAP = 1.15
"""Distance between the middle of a parked car and the kerb in metres."""

PLACE_LENGTH = 6.3
"""Length of a parking place at a kerb in metres."""

BAY_WIDTH = 2.6
VAN_SHARE = 0.12

Place = tuple[np.ndarray, tuple[float, float]]
"""Position (x, y) of a car, and the direction of its front."""


def draw_car(
    id: int,
    draws: np.ndarray,
    point: np.ndarray,
    direction: tuple[float, float],
    velocity: tuple[float, float] = (0.0, 0.0),
) -> Car:
    """Return a car at a place; four numbers from 0 to 1 decide what it looks like."""
    size, colour, kind, _ = draws.tolist()
    is_van = kind < VAN_SHARE
    half_length = 2.65 + 0.3 * size if is_van else 2.0 + 0.38 * size
    half_width = CAR_HALF_WIDTH + (0.1 if is_van else 0.08 * (size - 0.5))
    body = Rectangle(float(point[0]), float(point[1]), direction, half_length, half_width)
    return Car(id, body, floor(colour * 1000), is_van, velocity)


def park_at_roads(site: Site, kind: Kind, random: np.random.Generator) -> list[Place]:
    """Return the occupied places at two of the four roads, which belong to this block."""
    share = 0.36 if kind in URBAN else 0.06
    places: list[Place] = []
    for road in (site.borders[0][0], site.borders[3][0]):
        for side in (1, -1):
            occupied = park_at_kerb(road, side, share, random)
            if occupied and (road.is_main or side == 1):
                to_water = site.water_distance(np.stack([point for point, _ in occupied]))
                places += [place for place, gap in zip(occupied, to_water, strict=True) if gap > 3]
    return places


def park_at_kerb(road: Road, side: int, share: float, random: np.random.Generator) -> list[Place]:
    """Return the occupied places at one side of a road; cars face the way of their lane."""
    first, last = road.clear[0] + 8.0, road.length - road.clear[1] - 8.0
    positions = np.arange(first, last, PLACE_LENGTH) if road.exists else np.zeros(0)
    positions = positions[random.random(len(positions)) < share]
    positions = positions + 0.7 * (random.random(len(positions)) - 0.5)
    lateral = np.full(len(positions), side * (road.half_width - KERB_GAP))
    points, directions = road.place(positions, lateral)
    return [
        (point, (side * float(forward[0]), side * float(forward[1])))
        for point, forward in zip(points, directions, strict=True)
    ]


def park_in_bays(car_park: Rectangle, random: np.random.Generator) -> list[Place]:
    """Return the occupied bays of a car park."""
    count = bay_count(car_park)
    along = (np.arange(count) - (count - 1) / 2) * BAY_WIDTH
    share = 0.35 + 0.5 * random.random()
    places: list[Place] = []
    for side in (1, -1):
        right = np.array((-car_park.direction[1], car_park.direction[0])) * side
        for shift in along[random.random(count) < share].tolist():
            wobble = 0.3 * (random.random(2) - 0.5)
            across = car_park.half_width - 2.9 + wobble[0]
            forward = np.array(car_park.direction) * (shift + wobble[1] * 0.6)
            facing = 1 if random.random() < 0.7 else -1
            point = np.array((car_park.x, car_park.y)) + forward + across * right
            places.append((point, (facing * float(right[0]), facing * float(right[1]))))
    return places


def bay_count(car_park: Rectangle) -> int:
    """Return the number of bays at each side of a car park."""
    return int((2 * car_park.half_length - 0.5) / BAY_WIDTH)
