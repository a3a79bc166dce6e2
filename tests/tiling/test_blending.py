"""Blended class scores equal the weighted mean, in memory of the overlaps only."""

import numpy as np
import torch

from unimask.tiling.blending import ClassBlender, first_of_best, normalised_weights
from unimask.tiling.windows import TileGrid


def test_labels_are_the_best_of_the_weighted_means():
    random, classes = np.random.default_rng(0), 5
    grid = TileGrid.divide((90, 130), (40, 48), (10, 12), step=4)
    labels = np.full(grid.size, -1)
    written = np.zeros(grid.size, int)

    def write(window, block):
        part = slice(window.row, window.bottom), slice(window.column, window.right)
        labels[part], written[part] = block, written[part] + 1

    blender = ClassBlender(grid, lambda names, scores: first_of_best(names, scores)[0], write)
    mean = np.zeros((classes, *grid.size))
    rows, columns = normalised_weights(grid.rows), normalised_weights(grid.columns)
    pending = []
    for tile in grid.tiles():
        names = sorted(random.choice(classes, random.integers(1, classes + 1), replace=False))
        scores = random.random((len(names), tile.window.height, tile.window.width))
        blender.add(tile, [int(name) for name in names], torch.from_numpy(scores).float())
        pending.append(blender.pending_bytes)
        window = tile.window
        part = slice(window.row, window.bottom), slice(window.column, window.right)
        for name, score in zip(names, scores, strict=True):
            mean[(name, *part)] += score * rows[tile.i][:, None] * columns[tile.j]
    assert (written == 1).all() and not blender.pending
    assert max(pending) <= 2 * classes * (10 + 12) * (90 + 130 + 48)
    ordered = np.sort(mean, axis=0)
    is_clear = ordered[-1] - ordered[-2] > 2e-3  # scores are stored in float16
    assert is_clear.mean() > 0.95
    np.testing.assert_array_equal(labels[is_clear], mean.argmax(0)[is_clear])


def test_scores_that_are_low_everywhere_are_compared_too():
    grid = TileGrid.divide((20, 30), (20, 20), (10, 10))
    blocks = []
    blender = ClassBlender(
        grid,
        lambda names, scores: first_of_best(names, scores)[0],
        lambda window, block: blocks.append(block),
    )
    scores = torch.tensor([1e-4, 2e-4]).view(2, 1, 1).expand(2, 20, 20)
    for tile in grid.tiles():
        blender.add(tile, (3, 7), scores)
    assert all((block == 7).all() for block in blocks) and sum(b.size for b in blocks) == 600
