"""What stands in a block: its kind, and the objects in it, as plain values in metres."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32


class Kind(Enum):
    """Kinds of blocks."""

    HOMES = "homes"
    CENTRE = "centre"
    PARK = "park"
    FOREST = "forest"
    MEADOW = "meadow"
    FIELD = "field"


URBAN = (Kind.HOMES, Kind.CENTRE)


CORNERS = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]])


class Rectangle(NamedTuple):
    """Rotated rectangle.

    Attributes:
        x: Centre, metres from the left edge of the scene.
        y: Centre, metres from the top edge.
        direction: Unit vector (x, y) of its length.
        half_length: Half its length in metres.
        half_width: Half its width in metres.
    """

    x: float
    y: float
    direction: tuple[float, float]
    half_length: float
    half_width: float

    def corners(self, margin: float = 0.0) -> Float[np.ndarray, "4 2"]:
        """Return the corners, in order, of the rectangle with a margin in metres."""
        return self.points(CORNERS, margin)

    def points(self, places: Float[np.ndarray, "n 2"], margin: float = 0.0) -> np.ndarray:
        """Return points (x, y) given along and across as shares of both halves."""
        along = places[:, :1] * (self.half_length + margin)
        across = places[:, 1:] * (self.half_width + margin)
        forward = np.array(self.direction)
        right = np.array((-self.direction[1], self.direction[0]))
        return np.array((self.x, self.y)) + along * forward + across * right


@dataclass(frozen=True, slots=True, eq=False)
class Building:
    """Building of one or two rectangular parts under one roof.

    Attributes:
        id: Id in the scene.
        outline: Corners (x, y) of its outline, in order.
        parts: Its parts.
        roof: "flat", "gable" or "hip".
        height: Height of the eaves in metres.
        colour: Index of the roof's colour.
        detail: Number from 0 to 1 that decides chimneys, windows and equipment.
    """

    id: int
    outline: Float[np.ndarray, "n 2"]
    parts: tuple[Rectangle, ...]
    roof: str
    height: float
    colour: int
    detail: float


class Thing(NamedTuple):
    """Building or car as a polygon.

    Attributes:
        id: Id in the scene.
        label_id: Label id of its class.
        outline: Corners (x, y) of its whole outline in metres from the top left of the scene.
    """

    id: int
    label_id: int
    outline: Float[np.ndarray, "n 2"]


class Car(NamedTuple):
    """Car at one moment.

    Attributes:
        id: Id in the scene, the same at all times.
        body: Its outline; `direction` is that of its front.
        colour: Index of its colour.
        is_van: Whether it is a van.
        velocity: Velocity (x, y) in metres per second.
    """

    id: int
    body: Rectangle
    colour: int
    is_van: bool
    velocity: tuple[float, float]

    def bounds(self, margin: float) -> tuple[float, float, float, float]:
        """Return least x and y, and greatest x and y, of a box around the car with a margin."""
        x, y, reach = self.body.x, self.body.y, self.body.half_length + margin
        return x - reach, y - reach, x + reach, y + reach


class Tree(NamedTuple):
    """Tree, with a crown of several lobes.

    Attributes:
        x: Metres from the left edge of the scene.
        y: Metres from the top edge.
        radius: Radius of the crown in metres.
        colour: Index of its colour in the season.
        brightness: Factor of its colour.
        lobes: x, y and radius of its lobes, relative to its middle, in metres.
    """

    x: float
    y: float
    radius: float
    colour: int
    brightness: float
    lobes: Float32[np.ndarray, "l 3"]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Block between four streets, and the cars parked at two of them.

    Attributes:
        i: Index along axis 0 of the street grid.
        j: Index along axis 1.
        kind: What it consists of.
        outline: Polygon of its border: the middles of the streets around it, in metres.
        buildings: Buildings.
        cars: Parked cars.
        trees: Trees, those in front last.
        paved: Drives and paved yards.
        car_parks: Car parks; their bays are at right angles to their length.
        pond: Polygon of a pond; None without one.
    """

    i: int
    j: int
    kind: Kind
    outline: Float[np.ndarray, "n 2"]
    buildings: tuple[Building, ...] = ()
    cars: tuple[Car, ...] = ()
    trees: tuple[Tree, ...] = ()
    paved: tuple[Rectangle, ...] = ()
    car_parks: tuple[Rectangle, ...] = ()
    pond: Float[np.ndarray, "n 2"] | None = None


MAX_BLOCK = 1024
"""Blocks have indices from -MAX_BLOCK to MAX_BLOCK - 1, so that ids fit into 31 bits."""

FIRST_CAR = 64
"""Number of the first parked car of a block; buildings have lower numbers, from 1."""

MAX_NUMBER = 255


def fixed_id(i: int, j: int, number: int) -> int:
    """Return the id of an object that does not move, which stands in block (i, j)."""
    return ((i + MAX_BLOCK) * 2 * MAX_BLOCK + j + MAX_BLOCK) * (MAX_NUMBER + 1) + number


SLOT_BITS = 16


def moving_id(axis: int, street: int, is_reverse: bool, slot: int) -> int:
    """Return the id of a moving car: the `slot`-th place in one direction of a street."""
    line = ((axis << 1 | is_reverse) << 11) + street + MAX_BLOCK
    return 1 << 30 | line << SLOT_BITS | slot + (1 << SLOT_BITS - 1) & (1 << SLOT_BITS) - 1
