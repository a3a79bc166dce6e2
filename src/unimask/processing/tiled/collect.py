"""Segments of a whole image, collected from the logits of its tiles in order."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.config import PostprocessingConfig
from unimask.errors import UnimaskWarning
from unimask.labels import LabelSet, Task
from unimask.processing.candidates import MAX_CANDIDATES, instance_candidates, panoptic_candidates
from unimask.processing.instance import Instance, instances, remove_hidden_instances
from unimask.processing.panoptic import PanopticSegment, panoptic
from unimask.processing.postprocess import semantic_segments
from unimask.processing.tiled.scores import (
    TileLogits,
    accepted_stuff,
    semantic_scores,
    stuff_scores,
)
from unimask.results import Candidate, Segment
from unimask.tiling.blending import ClassBlender, WriteBlock, first_of_best
from unimask.tiling.compose import encode_segments, paste_objects
from unimask.tiling.masks import PlacedMask
from unimask.tiling.seams import JoinedObject, ObjectJoiner, TileObject
from unimask.tiling.windows import Tile, TileGrid, TileWindow

MASK_STRIDE = 4
"""Pixels of the network's input per mask logit; masks are uncertain that close to a border."""


class TilingWarning(UnimaskWarning):
    """Warning that tiles are too small for some objects."""


class TileRules(NamedTuple):
    """Everything that the segments of tiles depend on beside the logits.

    Attributes:
        grid: Tiles of the image.
        labels: Classes of the network.
        postprocessing: Settings of post-processing.
        threshold: See `postprocess`.
        scale: Pixels of the network's input per pixel of the image.
    """

    grid: TileGrid
    labels: LabelSet
    postprocessing: PostprocessingConfig
    threshold: float | None
    scale: float


class StuffScore(NamedTuple):
    """Sum over tiles of the score of a stuff class times its area, and the sum of the areas."""

    score: float
    area: int


class TileCollector(ABC):
    """Segments of an image, to which tiles are added in the order of the grid.

    Args:
        rules: Tiles and settings.
        write: Function that receives finished parts of the label map: -1 for no label (semantic),
            0 for no stuff and -1 - class for stuff (panoptic). By default the map is held in memory
            for `finish`.
    """

    VOID = -1
    """Value of the label map at pixels without a label."""

    def __init__(self, rules: TileRules, write: WriteBlock | None = None) -> None:
        self.rules = rules
        self.write = write
        self.joiner = ObjectJoiner(rules.grid, int(np.ceil(MASK_STRIDE / rules.scale)))
        self.candidates: list[Candidate] = []
        self.valid: tuple[Tile, Bool[np.ndarray, "h w"]] | None = None
        self.blender: ClassBlender | None = None

    def add(
        self, tile: Tile, logits: TileLogits, valid: Bool[np.ndarray, "h w"] | None = None
    ) -> None:
        """Add a tile, of which only the valid pixels get labels (None: all)."""
        self.valid = None if valid is None else (tile, valid)
        self.add_logits(tile, logits)

    def skip(self, tile: Tile) -> None:
        """Add a tile of which no pixel is valid."""
        self.valid = None
        self.joiner.add(tile, [])
        if self.blender is not None:
            self.blender.skip(tile)

    @abstractmethod
    def add_logits(self, tile: Tile, logits: TileLogits) -> None:
        """Add the scores and objects of a tile."""

    @abstractmethod
    def finish(self) -> tuple[Segment, ...]:
        """Return the segments of the image."""

    def best_candidates(self) -> tuple[Candidate, ...]:
        """Return the highest scores in any tile, to be reported if there are no segments."""
        return tuple(self.candidates)

    def add_candidates(self, candidates: Sequence[Candidate]) -> None:
        """Retain the candidates with the highest scores."""
        ranked = sorted([*self.candidates, *candidates], key=lambda c: -c.score)
        self.candidates = ranked[:MAX_CANDIDATES]

    def write_valid(self, window: TileWindow, block: Int[np.ndarray, "h w"]) -> None:
        """Write a part of the label map, with no label at pixels without data."""
        assert self.write is not None
        if self.valid is not None:
            tile, valid = self.valid
            block = np.where(valid[window.slices_within(tile.window)], block, self.VOID)
        self.write(window, block)

    def place_objects(
        self, tile: Tile, objects: Sequence[Instance | PanopticSegment]
    ) -> list[TileObject]:
        """Return the objects of a tile with their masks placed in the image."""
        row, column = tile.window.row, tile.window.column
        placed = []
        for item in objects:
            if self.valid is None:
                mask = PlacedMask.from_run_length(item.rle, row, column)
            else:
                pixels = item.rle.to_mask() & self.valid[1]
                if not pixels.any():
                    continue
                mask = PlacedMask.crop(pixels, row, column)
            placed.append(TileObject(item.label_id, item.score, mask))
        return placed

    def joined_objects(self) -> list[JoinedObject]:
        """Return the objects of the image, and warn about those that no tile contained."""
        objects = self.joiner.finish()
        num_cut = sum(item.is_cut for item in objects)
        warn_about_cut_objects(self.rules.grid, num_cut, len(objects))
        return objects


class SemanticCollector(TileCollector):
    """Semantic segments: the class with the highest blended score at each pixel."""

    def __init__(self, rules: TileRules, write: WriteBlock | None = None) -> None:
        super().__init__(rules, write)
        if write is None:
            self.label_map = np.empty(rules.grid.size[::-1], np.int16)
            self.write = block_writer(self.label_map)
        self.blender = self.scores = ClassBlender(
            rules.grid, self.decide, self.write_valid, self.VOID
        )

    def add_logits(self, tile: Tile, logits: TileLogits) -> None:
        """Add the class scores of a tile."""
        self.scores.add(
            tile,
            *semantic_scores(
                logits,
                resize_scores=self.rules.postprocessing.resize == "scores",
                with_total=self.rules.threshold is not None,
            ),
        )

    def decide(
        self, classes: tuple[int, ...], scores: Float[Tensor, "c h w"]
    ) -> Int[Tensor, "h w"]:
        """Return the best class, -1 where its share is below the threshold."""
        if self.rules.threshold is None:
            return first_of_best(classes, scores)[0]
        labels, best = first_of_best(classes[:-1], scores[:-1])
        return labels.where(best >= self.rules.threshold * scores[-1], -1)

    def finish(self) -> tuple[Segment, ...]:
        """Return one segment per class."""
        return semantic_segments(self.label_map, self.rules.labels)


class InstanceCollector(TileCollector):
    """Instances of the tiles, joined across borders."""

    def add_logits(self, tile: Tile, logits: TileLogits) -> None:
        """Add the objects of a tile."""
        rules, labels = self.rules.postprocessing, self.rules.labels
        arguments = logits.class_logits, logits.mask_logits, logits.resizer
        best = instances(*arguments, labels.is_thing, rules.top_k, self.rules.threshold)
        objects = remove_hidden_instances(best, rules.min_visible)
        if not objects and not self.joiner.count:
            self.add_candidates(instance_candidates(*arguments, labels, rules.top_k))
        self.joiner.add(tile, self.place_objects(tile, objects))

    def finish(self) -> tuple[Segment, ...]:
        """Return the objects; ids are in descending order of score."""
        size, labels = self.rules.grid.size, self.rules.labels
        return tuple(
            Segment.from_rle(
                labels, item.label_id, item.mask.to_image(size), id=index, score=item.score
            )
            for index, item in enumerate(self.joined_objects(), start=1)
        )


class PanopticCollector(TileCollector):
    """Things joined across borders, over stuff from blended semantic scores.

    The panoptic rule could reject the stuff of one tile and accept it in the next, which would cut
    it at their border. Its scores decide instead, except for classes that are rejected in all tiles
    and for an image of one tile.
    """

    VOID = 0

    def __init__(self, rules: TileRules, write: WriteBlock | None = None) -> None:
        super().__init__(rules, write)
        if write is None:
            self.ids = np.zeros(rules.grid.size[::-1], np.int32)
            self.write = block_writer(self.ids)
        self.blender = self.scores = ClassBlender(
            rules.grid, self.decide, self.write_valid, self.VOID
        )
        self.stuff: dict[int, StuffScore] = {}

    def add_logits(self, tile: Tile, logits: TileLogits) -> None:
        """Add the stuff scores and objects of a tile."""
        rules, is_thing = self.rules.postprocessing, self.rules.labels.is_thing
        threshold = self.rules.threshold
        segments = panoptic(
            *(logits.class_logits, logits.mask_logits, logits.resizer),
            is_thing,
            rules.object_threshold if threshold is None else threshold,
            rules.overlap_threshold,
            rules.uncertain_pixels,
        )
        if not segments and not self.joiner.count:
            self.add_candidates(panoptic_candidates(logits.class_logits, self.rules.labels))
        for segment in segments:
            if not is_thing[segment.label_id]:
                score, area = self.stuff.get(segment.label_id, (0.0, 0))
                part = segment.rle.area
                self.stuff[segment.label_id] = StuffScore(score + segment.score * part, area + part)
        self.scores.add(
            tile,
            *(
                accepted_stuff(logits, segments, is_thing)
                if len(self.rules.grid) == 1
                else stuff_scores(logits, is_thing)
            ),
        )
        things = [segment for segment in segments if is_thing[segment.label_id]]
        self.joiner.add(tile, self.place_objects(tile, things))

    def decide(
        self, classes: tuple[int, ...], scores: Float[Tensor, "c h w"]
    ) -> Int[Tensor, "h w"]:
        """Return -1 - class of the best stuff, 0 where it is not better than the last class."""
        others = len(self.rules.labels)
        labels = first_of_best(classes[::-1], scores.flip(0))[0]
        return (-1 - labels).where(labels < others, 0)

    def finish(self) -> tuple[Segment, ...]:
        """Return things in descending order of score, then stuff."""
        rules, labels = self.rules.postprocessing, self.rules.labels
        things = paste_objects(self.ids, self.joined_objects(), rules.overlap_threshold)
        objects, stuff = encode_segments(self.ids, len(things))
        items = [(things[n - 1].label_id, things[n - 1].score, rle) for n, rle in objects.items()]
        items += [
            (label, self.stuff_score(label), rle)
            for label, rle in sorted(stuff.items())
            if label in self.stuff
        ]
        return tuple(
            Segment.from_rle(labels, label, rle, id=index, score=score)
            for index, (label, score, rle) in enumerate(items, start=1)
        )

    def stuff_score(self, label_id: int) -> float:
        """Return the mean score of a stuff class over the tiles that accept it, by area."""
        score, area = self.stuff[label_id]
        return score / area


COLLECTORS: dict[Task, type[TileCollector]] = {
    "semantic": SemanticCollector,
    "instance": InstanceCollector,
    "panoptic": PanopticCollector,
}


def warn_about_cut_objects(grid: TileGrid, num_cut: int, total: int) -> None:
    """Warn if there are objects that no tile contained.

    Args:
        grid: Tiles of the image.
        num_cut: Number of such objects.
        total: Number of all objects.
    """
    if not num_cut:
        return
    axes = grid.rows, grid.columns
    overlaps = [axis.starts[0] + axis.tile - axis.starts[1] for axis in axes if axis.starts[1:]]
    warnings.warn(
        f"{num_cut} of {total} objects are larger than the overlap of the tiles "
        f"({min(overlaps)} pixels) and were cut by their borders: their parts were joined, but a "
        "larger tile or overlap is more exact",
        TilingWarning,
        stacklevel=3,
    )


def block_writer(target: Int[np.ndarray, "w h"]) -> WriteBlock:
    """Return a function that writes blocks of a label map into a transposed map."""

    def write(window: TileWindow, block: Int[np.ndarray, "h w"]) -> None:
        target[window.column : window.right, window.row : window.bottom] = block.T

    return write
