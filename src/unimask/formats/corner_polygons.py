"""Masks as polygons through the corners of pixels, without loss."""

import numpy as np
from jaxtyping import Bool, Int, Num

Loop = Int[np.ndarray, "_ 2"]


def corner_polygons(mask: Bool[np.ndarray, "h w"], *, join_corners: bool = True) -> list[Loop]:
    """Trace the edges of a mask: its connected parts, and the holes in them.

    A pixel is in the mask if it is inside an odd number of the polygons.

    Args:
        mask: Binary mask; an empty one has no polygons.
        join_corners: Whether pixels that touch only at a corner belong to one part.

    Returns:
        Vertices of each polygon, with x from 0 to w and y from 0 to h. A polygon starts at its
        highest vertex, the leftmost of these, and proceeds to the right.
    """
    inside = np.pad(mask, 1)
    above_left, above_right = inside[:-1, :-1], inside[:-1, 1:]
    below_left, below_right = inside[1:, :-1], inside[1:, 1:]
    edge_left, edge_right = above_left != below_left, above_right != below_right
    edge_up = above_left != above_right
    crossing = edge_left & edge_right & edge_up
    places = np.flatnonzero((edge_left != edge_right) | crossing)
    crossed = crossing.ravel()[places]
    # Where two pixels touch at a corner, two vertices coincide: the first has the edge to the left.
    # In row-major order, edges then connect every even vertex with the next.
    corners = np.repeat(places, 1 + crossed)
    second = np.concatenate([[False], corners[1:] == corners[:-1]])
    rows, columns = np.divmod(corners, mask.shape[1] + 1)
    # Of two coincident vertices, the one of the left edge continues upwards if the touching pixels
    # are above right and below left, so that they stay in one part, and downwards otherwise.
    downwards = (above_left.ravel()[corners] != second) == join_corners
    by_column = np.lexsort((downwards, rows, columns))
    row_neighbours = (np.arange(len(corners)) ^ 1).tolist()
    column_neighbours = np.empty(len(corners), np.int64)
    column_neighbours[by_column[::2]], column_neighbours[by_column[1::2]] = (
        by_column[1::2],
        by_column[::2],
    )
    points = np.stack([columns, rows], axis=1)
    return [points[loop] for loop in trace_cycles(row_neighbours, column_neighbours.tolist())]


def trace_cycles(row_neighbours: list[int], column_neighbours: list[int]) -> list[list[int]]:
    """Trace cycles, alternating steps along rows and columns, until every vertex was visited."""
    is_visited, loops = [False] * len(row_neighbours), []
    for start in range(len(row_neighbours)):
        loop, vertex = [], start
        while not is_visited[vertex]:
            neighbour = row_neighbours[vertex]
            is_visited[vertex] = is_visited[neighbour] = True
            loop += [vertex, neighbour]
            vertex = column_neighbours[neighbour]
        if loop:
            loops.append(loop)
    return loops


def join_polygons(loops: list[Num[np.ndarray, "_ 2"]]) -> Num[np.ndarray, "_ 2"]:
    """Join polygons into one, by bridges of zero width that are traversed in both directions.

    Each polygon is connected to the next at their closest vertices. A point inside an odd number of
    them is inside the joined polygon; the vertices of bridges occur twice.

    Args:
        loops: Polygons to join, at least one.
    """
    outbound: list[np.ndarray] = []
    inbound: list[np.ndarray] = []
    entry = 0
    for loop, following in zip(loops, [*loops[1:], None], strict=True):
        vertices = np.concatenate([loop[entry:], loop[: entry + 1]])
        if following is None:
            outbound.append(vertices[: len(vertices) if inbound else -1])
            break
        from scipy.spatial import KDTree  # imported here: few masks need it

        distances, nearest = KDTree(following).query(vertices[:-1])
        exit_ = int(np.argmin(distances))
        entry = int(np.asarray(nearest)[exit_])
        outbound.append(vertices[: exit_ + 1])
        inbound.append(vertices[exit_:])
    if inbound:
        inbound[0] = inbound[0][:-1]  # a polygon closes itself
    return np.concatenate([*outbound, *reversed(inbound)])
