"""Stuff of the panoptic task in tiles, whose scores lie around the threshold of the rule."""

import numpy as np
import pytest
import torch

from unimask.config import PostprocessingConfig
from unimask.labels import LabelSet
from unimask.processing.tiled.collect import PanopticCollector, TileRules
from unimask.processing.tiled.scores import TileLogits
from unimask.tiling.windows import TileGrid

LABELS = LabelSet(("house", "water", "grass"), (True, False, False))
HOUSE, WATER, GRASS = range(3)
SIDE, OVERLAP, WIDTH = 32, 8, 56
BANK = 12
"""First row of grass; water is above it."""


def tile_logits(probs: dict[int, float]) -> TileLogits:
    """Return one query per class: water in the upper rows, grass below, a house in the corner."""
    masks = torch.full((3, SIDE, SIDE), -8.0)
    masks[HOUSE, :6, :6] = masks[WATER, :BANK] = masks[GRASS, BANK:] = 8
    masks[WATER, :6, :6] = -8
    classes = torch.full((3, 4), 1e-6)
    for label, prob in probs.items():
        classes[label, label], classes[label, 3] = prob, 1 - prob
    return TileLogits(classes.log(), masks, (SIDE, SIDE), (SIDE, SIDE), (SIDE, SIDE))


def segment_tiles(*tiles: dict[int, float], width: int = WIDTH) -> dict[str, np.ndarray]:
    """Segment neighbouring tiles with the given class probabilities; return the masks by class."""
    grid = TileGrid.divide((SIDE, width), (SIDE, SIDE), (OVERLAP, OVERLAP))
    assert len(grid) == len(tiles)
    settings = PostprocessingConfig(object_threshold=0.5)
    collector = PanopticCollector(TileRules(grid, LABELS, settings, None, 1.0))
    for tile, probs in zip(grid.tiles(), tiles, strict=True):
        collector.add(tile, tile_logits(probs))
    return {segment.label: segment.mask for segment in collector.finish()}


def test_stuff_that_one_tile_accepts_is_not_cut_at_its_border():
    sure, unsure = ({HOUSE: 0.1, WATER: prob, GRASS: 0.9} for prob in (0.9, 0.45))
    masks = segment_tiles(sure, unsure)
    assert masks["water"][6:BANK].all()
    assert masks["grass"][BANK:].all()


def test_stuff_that_no_tile_accepts_is_void():
    masks = segment_tiles(*[{HOUSE: 0.1, WATER: 0.45, GRASS: 0.9}] * 2)
    assert "water" not in masks and not masks["grass"][:BANK].any()


@pytest.mark.parametrize("house", [0.45, 0.9])
def test_stuff_does_not_cover_objects_even_if_they_are_rejected(house):
    masks = segment_tiles(*[{HOUSE: house, WATER: 0.9, GRASS: 0.9}] * 2)
    assert not masks["water"][:6, :6].any()
    assert ("house" in masks) == (house > 0.5)


def test_one_tile_follows_the_rule():
    masks = segment_tiles({HOUSE: 0.9, WATER: 0.45, GRASS: 0.9}, width=SIDE)
    assert set(masks) == {"house", "grass"}
