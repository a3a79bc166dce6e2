"""Place buildings along the roads of a block, with drives, and car parks."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from unimask.datasets.rendered_town.block_site import Site
from unimask.datasets.rendered_town.layout import FIRST_CAR, Building, Kind, Rectangle, fixed_id
from unimask.datasets.rendered_town.roads import SIDEWALK, Road

ROAD_GAP = 2.6
"""Distance between buildings and carriageways at least, in metres."""

WATER_GAP = 4.0
"""Distance between buildings and rivers at least, in metres."""

BUILDING_GAP = 1.6
"""Distance between buildings at least, in metres."""

GRID = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)), axis=-1).reshape(-1, 2)
"""Points of a rectangle at which overlaps are tested."""

YARD_SHARE = 0.6
"""Share of large buildings with paved ground around them."""

CORNER_GAP = 5.0
"""Distance between a lot and the end of its road at least, in metres."""


class Sizes(NamedTuple):
    """Ranges of the sizes of buildings in metres, each from the first value to the second."""

    width: tuple[float, float]
    depth: tuple[float, float]
    gap: tuple[float, float]
    setback: tuple[float, float]
    height: tuple[float, float]
    roofs: tuple[str, ...]
    wing_share: float


HOMES = Sizes(
    (9, 15), (7.5, 10.5), (2.6, 6.5), (3, 7), (3.5, 6), ("gable", "gable", "hip", "flat"), 0.35
)
CENTRE = Sizes((15, 30), (11, 17), (2.5, 7), (1, 3), (7, 13), ("flat", "flat", "flat", "hip"), 0.45)


class Plot(NamedTuple):
    """Building on its lot.

    Attributes:
        building: The building.
        lot: Rectangle around the building.
        drive: Drive from the road, directed away from it; None without one.
        yard: Paved ground around the building; None without one.
    """

    building: Building
    lot: Rectangle
    drive: Rectangle | None
    yard: Rectangle | None

    def parking_place(self) -> np.ndarray:
        """Return the place of a car (x, y), at the end of the drive."""
        assert self.drive is not None
        shift = self.drive.half_length - 3.0
        return np.array((self.drive.x, self.drive.y)) + shift * np.array(self.drive.direction)


def build_plots(
    site: Site, kind: Kind, random: np.random.Generator, occupied: tuple[Rectangle, ...]
) -> list[Plot]:
    """Return the buildings of a block: those that fit, of the lots along its roads."""
    sizes = CENTRE if kind is Kind.CENTRE else HOMES
    lots = [lot for road, side in site.borders for lot in divide_lots(road, side, sizes, random)]
    lots = [lot for lot, fits in zip(lots, lots_that_fit(site, lots), strict=True) if fits]
    lots = choose_lots(lots, occupied)[: FIRST_CAR - 1]
    drives = place_drives(site, lots, random) if kind is Kind.HOMES else [None] * len(lots)
    plots = []
    for number, ((lot, setback), drive) in enumerate(zip(lots, drives, strict=True), 1):
        building = build_house(fixed_id(site.i, site.j, number), lot, sizes, random)
        has_yard = kind is Kind.CENTRE and random.random() < YARD_SHARE
        yard = pave_yard(lot, abs(setback)) if has_yard else None
        plots.append(Plot(building, lot, drive, yard))
    return plots


def pave_yard(lot: Rectangle, setback: float) -> Rectangle:
    """Return the paved ground around a building, up to the carriageway."""
    margin = max(setback, 2.5)
    return lot._replace(half_length=lot.half_length + margin, half_width=lot.half_width + margin)


def choose_lots(
    lots: list[tuple[Rectangle, float]], occupied: tuple[Rectangle, ...]
) -> list[tuple[Rectangle, float]]:
    """Return the lots that overlap neither earlier ones nor what is occupied, in order."""
    rectangles = [*occupied, *(lot for lot, _ in lots)]
    overlaps = find_overlaps(rectangles, rectangles, BUILDING_GAP)
    overlaps |= overlaps.T
    chosen = list(range(len(occupied)))
    for number in range(len(occupied), len(rectangles)):
        if not overlaps[number, chosen].any():
            chosen.append(number)
    return [lots[number - len(occupied)] for number in chosen[len(occupied) :]]


def find_overlaps(
    rectangles: list[Rectangle], others: list[Rectangle], gap: float
) -> Bool[np.ndarray, "n m"]:
    """Return whether a point of `GRID` of each rectangle is closer than a gap to each other one."""
    if not rectangles or not others:
        return np.zeros((len(rectangles), len(others)), bool)
    points = np.stack([rectangle.points(GRID) for rectangle in rectangles])[:, None]
    values = np.array([(*other[:2], *other.direction, *other[3:]) for other in others])
    centre_x, centre_y, right, down, half_length, half_width = values.T[:, None, :, None]
    x, y = points[..., 0] - centre_x, points[..., 1] - centre_y
    is_along = np.abs(x * right + y * down) < half_length + gap
    return (is_along & (np.abs(y * right - x * down) < half_width + gap)).any(axis=-1)


def divide_lots(
    road: Road, side: int, sizes: Sizes, random: np.random.Generator
) -> list[tuple[Rectangle, float]]:
    """Return rectangles for buildings along one side of a road, each with its setback."""
    if not road.exists:
        return []
    lots, position = [], road.clear[0] + CORNER_GAP + 4 * random.random()
    while True:
        draws = random.random(4)
        width, depth, gap, setback = (
            low + (high - low) * draw for draw, (low, high) in zip(draws, sizes[:4], strict=True)
        )
        if position + width > road.length - road.clear[1] - CORNER_GAP:
            return lots
        middle = np.array([position + width / 2])
        lateral = side * (road.half_width + SIDEWALK + setback + depth / 2)
        (point,), (forward,) = road.place(middle, np.array([lateral]))
        direction = (float(forward[0]), float(forward[1]))
        lot = Rectangle(float(point[0]), float(point[1]), direction, width / 2, depth / 2)
        lots.append((lot, side * (setback + SIDEWALK)))
        position += width + gap


def lots_that_fit(site: Site, lots: list[tuple[Rectangle, float]]) -> list[bool]:
    """Return which lots are far enough from roads and rivers."""
    if not lots:
        return []
    points = np.stack([lot.points(GRID) for lot, _ in lots])
    on_land = site.water_distance(points).min(axis=1) > WATER_GAP
    return (on_land & (site.road_distance(points).min(axis=1) > ROAD_GAP)).tolist()


def build_house(id: int, lot: Rectangle, sizes: Sizes, random: np.random.Generator) -> Building:
    """Return a building on its lot: a rectangle, or an L of two rectangles."""
    wing, roof, height, colour, detail, end, side, depth = random.random(8).tolist()
    parts, outline = (lot,), lot.corners()
    if wing < sizes.wing_share and lot.half_length > 0.9 * lot.half_width:
        # Half widths of both parts, as shares of the halves of the lot.
        main = 0.42 + 0.14 * depth
        short = min(main * 0.95 * lot.half_width / lot.half_length, 0.45)
        a, b = (1 if end < 0.5 else -1), (1 if side < 0.5 else -1)
        turned = (-lot.direction[1], lot.direction[0])
        (x, y), (wing_x, wing_y) = lot.points(
            np.array([[0.0, b * (1 - main)], [a * (1 - short), 0.0]])
        ).tolist()
        parts = (
            Rectangle(x, y, lot.direction, lot.half_length, main * lot.half_width),
            Rectangle(wing_x, wing_y, turned, lot.half_width, short * lot.half_length),
        )
        inner = (a * (1 - 2 * short), b * (1 - 2 * main))
        corners = [(a, b), (-a, b), (-a, inner[1]), inner, (inner[0], -b), (a, -b)]
        outline = lot.points(np.array(corners, float))
    low, high = sizes.height
    return Building(
        id=id,
        outline=outline,
        parts=parts,
        roof=sizes.roofs[int(roof * len(sizes.roofs))],
        height=low + (high - low) * height,
        colour=int(colour * 1000),
        detail=detail,
    )


def place_drives(
    site: Site, lots: list[tuple[Rectangle, float]], random: np.random.Generator
) -> list[Rectangle | None]:
    """Return the drive of each house, between it and the next one; None where it does not fit."""
    if not lots:
        return []
    drives = [place_drive(lot, setback) for lot, setback in lots]
    rectangles = [lot for lot, _ in lots]
    points = np.stack([drive.points(GRID) for drive in drives])
    fits = random.random(len(lots)) < 0.7
    fits &= np.array([drive.half_length for drive in drives]) >= 3.2
    fits &= site.water_distance(points).min(axis=1) > WATER_GAP
    fits &= site.road_distance(points[:, GRID[:, 0] > 0]).min(axis=1) > ROAD_GAP
    overlaps = find_overlaps(drives, rectangles, 0.5) | find_overlaps(rectangles, drives, 0.5).T
    np.fill_diagonal(overlaps, False)
    fits &= ~overlaps.any(axis=1)
    return [drive if fit else None for drive, fit in zip(drives, fits.tolist(), strict=True)]


def place_drive(lot: Rectangle, setback: float) -> Rectangle:
    """Return the drive beside a house.

    Args:
        lot: Rectangle around the house.
        setback: Distance of the house from the carriageway, positive if the house is on its right.
    """
    side = 1.0 if setback > 0 else -1.0
    away = np.array((-lot.direction[1], lot.direction[0])) * side
    front = lot.points(np.array([[1.0, -side]]))[0] + 1.9 * np.array(lot.direction)
    length = abs(setback) + min(5.0, lot.half_width)
    centre = front + away * (length / 2 - abs(setback))
    direction = (float(away[0]), float(away[1]))
    return Rectangle(float(centre[0]), float(centre[1]), direction, length / 2, 1.5)


def place_car_park(site: Site, random: np.random.Generator) -> tuple[Rectangle, ...]:
    """Return the car park in the middle of a block, the largest that fits, if any does."""
    road, _ = site.borders[int(4 * random.random())]
    _, (forward,) = road.place(np.array([road.length / 2]), np.zeros(1))
    x, y = site.place(*(0.42 + 0.16 * random.random((2, 1))))[0]
    for bays in (14, 11, 8, 5):
        direction = (float(forward[0]), float(forward[1]))
        car_park = Rectangle(float(x), float(y), direction, bays * 1.3 + 0.5, 8.2)
        points = car_park.points(GRID)
        if site.road_distance(points).min() > 4 and site.water_distance(points).min() > 5:
            return (car_park,)
    return ()
