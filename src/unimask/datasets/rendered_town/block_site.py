"""The site of a block: its border, and how far points in it are from streets and water."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from unimask.datasets.rendered_town.hashing import Stream, uniform
from unimask.datasets.rendered_town.layout import Kind
from unimask.datasets.rendered_town.roads import Road, build_road
from unimask.datasets.rendered_town.style import Style
from unimask.datasets.rendered_town.water import river_distance

URBAN_KINDS = ((0.62, Kind.HOMES), (0.90, Kind.CENTRE), (1.0, Kind.PARK))
RURAL_KINDS = ((0.62, Kind.FIELD), (0.74, Kind.MEADOW), (0.90, Kind.FOREST), (1.0, Kind.PARK))
"""Kinds of blocks, each with the cumulative share up to it."""

SURROUNDINGS = 3
"""Number of blocks along each axis that are town or country together, more or less."""


def choose_kind(style: Style, i: int, j: int) -> Kind:
    """Return the kind of a block."""
    key = (style.seed, Stream.BLOCK_KIND)
    nearby = uniform(*key, 0, i // SURROUNDINGS, j // SURROUNDINGS)
    is_urban = 0.6 * nearby + 0.4 * uniform(*key, 1, i, j) < style.urban
    kinds, share = URBAN_KINDS if is_urban else RURAL_KINDS, uniform(*key, 2, i, j)
    return next(kind for limit, kind in kinds if share < limit)


@dataclass(frozen=True)
class Site:
    """Border of a block.

    Attributes:
        style: Style of the scene.
        i: Index along axis 0 of the street grid.
        j: Index along axis 1.
    """

    style: Style
    i: int
    j: int

    @cached_property
    def borders(self) -> tuple[tuple[Road, int], ...]:
        """Roads at the border, each with the side on which the block lies: 1 is the right."""
        i, j = self.i, self.j
        places = ((0, i, j, 1), (1, i + 1, j, 1), (0, i, j + 1, -1), (1, i, j, -1))
        return tuple((build_road(self.style, *place), side) for *place, side in places)

    @cached_property
    def outline(self) -> Float[np.ndarray, "n 2"]:
        """Polygon of the middles of the roads at the border."""
        first, second, third, fourth = (road.points for road, _ in self.borders)
        return np.concatenate([first[:-1], second[:-1], third[:0:-1], fourth[:0:-1]])

    @cached_property
    def pieces(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Starts and vectors of all straight pieces of the border, and their half widths."""
        starts = np.concatenate([road.points[:-1] for road, _ in self.borders])
        ends = np.concatenate([road.points[1:] for road, _ in self.borders])
        widths = [np.full(len(road.points) - 1, road.half_width) for road, _ in self.borders]
        return starts, ends - starts, np.concatenate(widths)

    def road_distance(self, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n"]:
        """Return the distance from the nearest carriageway; negative outside of the block."""
        starts, vectors, widths = self.pieces
        offset = points[..., None, :] - starts
        squares = (vectors**2).sum(axis=1)
        share = np.clip((offset * vectors).sum(axis=-1) / squares, 0, 1)
        distance = np.hypot(*np.moveaxis(offset - share[..., None] * vectors, -1, 0)) - widths
        x, y = points[..., None, 0], points[..., None, 1]
        above = (starts[:, 1] <= y) != (starts[:, 1] + vectors[:, 1] <= y)
        slope = vectors[:, 0] / np.where(vectors[:, 1] == 0, 1, vectors[:, 1])
        crosses = above & (starts[:, 0] + (y - starts[:, 1]) * slope > x)
        is_inside = crosses.sum(axis=-1) % 2 == 1
        return np.where(is_inside, distance.min(axis=-1), -1.0)

    def water_distance(self, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n"]:
        """Return the distance from the nearest river; negative in it."""
        return river_distance(self.style, points[..., 0], points[..., 1])

    def place(self, u: Float[np.ndarray, " n"], v: Float[np.ndarray, " n"]) -> np.ndarray:
        """Return points (x, y) given as shares of the way along both axes."""
        south, _, north, _ = (road.points for road, _ in self.borders)
        corners = np.stack([south[0], south[-1], north[0], north[-1]])
        weights = np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v])
        return (weights[:, :, None] * corners[:, None]).sum(axis=0)
