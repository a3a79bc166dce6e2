"""Objects of a whole image from the objects of its tiles: each is counted once.

An object that two tiles contain is one object if the classes are equal and the masks agree inside
the overlap of the tiles. Of such a group, a tile that contains all of the object decides; if none
does, the parts are joined. Other objects belong to the tile whose core contains their centre.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from unimask.formats.run_length import MAX_PIXELS
from unimask.tiling.masks import PlacedMask, area_outside, unite, window_iou
from unimask.tiling.windows import Tile, TileGrid, TileWindow, enclosing_window

MIN_IOU = 0.5
"""Smallest intersection over union, inside the overlap of two tiles, of one object's two masks."""

MAX_OUTSIDE = 0.05
"""Largest share of an object's area outside of a tile that is said to contain all of it.

Masks may end a few pixels before the border of a tile although the object continues.
"""


@dataclass(frozen=True, eq=False)
class TileObject:
    """Object that was predicted in a tile.

    Attributes:
        label_id: Class.
        score: Score from 0 to 1.
        mask: Mask within the image.
    """

    label_id: int
    score: float
    mask: PlacedMask


class JoinedObject(NamedTuple):
    """Object of the whole image.

    Attributes:
        label_id: Class.
        score: Score from 0 to 1.
        mask: Mask within the image.
        is_cut: Whether no tile contained all of it.
        order: Number that ranks objects of equal score.
    """

    label_id: int
    score: float
    mask: PlacedMask
    is_cut: bool
    order: int = 0


class Member(NamedTuple):
    """Object with the tile that predicted it, and whether an inner border of the tile cuts it."""

    item: TileObject
    tile: Tile
    is_cut: bool


class ObjectJoiner:
    """Collection of the tiles' objects, which are joined across tiles (union-find).

    Args:
        grid: Tiles of the image, to be added in order.
        margin: Distance in pixels from an inner border of a tile below which a mask counts as cut.
    """

    def __init__(self, grid: TileGrid, margin: int) -> None:
        self.grid = grid
        self.margin = margin
        self.count = 0
        self.members: dict[int, Member] = {}
        self.parents: dict[int, int] = {}
        self.boxes: dict[int, TileWindow] = {}
        self.by_tile: dict[tuple[int, int], range] = {}

    def add(self, tile: Tile, objects: Sequence[TileObject]) -> None:
        """Add the objects of a tile, and join them with those of the tiles before it."""
        added = range(self.count, self.count + len(objects))
        self.count = added.stop
        for index, item in zip(added, objects, strict=True):
            self.members[index] = Member(item, tile, self.is_cut(item, tile))
            self.parents[index] = index
            self.boxes[index] = item.mask.window
        self.by_tile[tile.i, tile.j] = added
        for other in self.grid.earlier_neighbours(tile):
            overlap = tile.window.intersect(other.window)
            assert overlap is not None
            earlier = self.by_tile.get((other.i, other.j), range(0))
            for pair in self.match(added, earlier, overlap):
                self.join(*pair)

    def is_cut(self, item: TileObject, tile: Tile) -> bool:
        """Return whether a mask reaches an inner border of its tile."""
        box, window, (height, width) = item.mask.window, tile.window, self.grid.size
        return (
            (window.row > 0 and box.row < window.row + self.margin)
            or (window.column > 0 and box.column < window.column + self.margin)
            or (window.bottom < height and box.bottom > window.bottom - self.margin)
            or (window.right < width and box.right > window.right - self.margin)
        )

    def match(self, first: range, second: range, overlap: TileWindow) -> Iterator[tuple[int, int]]:
        """Yield the pairs of equal objects of two tiles, each object at most once."""
        others = [
            n
            for n in second
            if n in self.members and self.members[n].item.mask.window.intersect(overlap)
        ]
        ranked: list[tuple[float, int, int]] = []
        for one in first:
            item = self.members[one].item
            common = item.mask.window.intersect(overlap)
            for other in others if common else ():
                candidate = self.members[other].item
                if candidate.label_id == item.label_id:
                    iou = window_iou(item.mask, candidate.mask, overlap)
                    if iou >= MIN_IOU:
                        ranked.append((iou, one, other))
        used: set[int] = set()
        for _, one, other in sorted(ranked, reverse=True):
            if not used & {one, other}:
                used |= {one, other}
                yield one, other

    def root(self, index: int) -> int:
        """Return the representative of an object's group."""
        while self.parents[index] != index:
            self.parents[index] = self.parents[self.parents[index]]
            index = self.parents[index]
        return index

    def join(self, first: int, second: int) -> None:
        """Unite the groups of two objects, unless run lengths could not express the union."""
        one, other = sorted((self.root(first), self.root(second)))
        box = enclosing_window([self.boxes[one], self.boxes[other]])
        if one != other and box.height * box.width <= MAX_PIXELS:
            self.parents[other] = one
            self.boxes[one] = box
            del self.boxes[other]

    def finish(self) -> list[JoinedObject]:
        """Return the objects that are left in descending order of score."""
        objects = self.close(self.grid.size[0])
        return sorted(objects, key=lambda item: -item.score)

    def close(self, row: int) -> list[JoinedObject]:
        """Return and forget the objects that tiles from a row of pixels downwards cannot join.

        No later tile may begin above the row. Objects are in the order of their first parts.
        """
        closed = [root for root, box in self.boxes.items() if box.bottom <= row]
        groups: dict[int, list[Member]] = {root: [] for root in sorted(closed)}
        for index in list(self.members):
            root = self.root(index)
            if root in groups:
                groups[root].append(self.members.pop(index))
        for index in [index for index in self.parents if index not in self.members]:
            del self.parents[index]
        for root in closed:
            del self.boxes[root]
        for key in [key for key in self.by_tile if self.grid.tile(*key).window.bottom <= row]:
            del self.by_tile[key]
        resolved = ((root, self.resolve(group)) for root, group in groups.items())
        return [item._replace(order=root) for root, item in resolved if item]

    def resolve(self, group: list[Member]) -> JoinedObject | None:
        """Return the object of a group, None if its only member belongs to another tile."""
        if len(group) == 1:
            (member,) = group
            owner = self.grid.owner(*member.item.mask.centre)
            if owner != (member.tile.i, member.tile.j):
                return None
            item = member.item
            return JoinedObject(item.label_id, item.score, item.mask, member.is_cut)
        whole = [member for member in group if is_whole(member, group)]
        if whole:
            best = min(whole, key=self.distance_from_core)
            item = best.item
            return JoinedObject(item.label_id, item.score, item.mask, False)
        areas = [member.item.mask.area for member in group]
        score = float(np.average([member.item.score for member in group], weights=areas))
        mask = unite([member.item.mask for member in group])
        return JoinedObject(group[0].item.label_id, score, mask, True)

    def distance_from_core(self, member: Member) -> tuple[bool, float, float]:
        """Rank the tiles that contain an object: its owner first, then by score."""
        owner = self.grid.owner(*member.item.mask.centre)
        row, column = member.item.mask.centre
        window = member.tile.window
        offset = max(
            abs(row - window.row - window.height / 2) / window.height,
            abs(column - window.column - window.width / 2) / window.width,
        )
        return owner != (member.tile.i, member.tile.j), offset, -member.item.score


def is_whole(member: Member, group: Iterable[Member]) -> bool:
    """Return whether a tile contains all of an object, as far as the other tiles see it."""
    if member.is_cut:
        return False
    limit = MAX_OUTSIDE * member.item.mask.area
    return all(area_outside(other.item.mask, member.tile.window) <= limit for other in group)
