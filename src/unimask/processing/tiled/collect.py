"""Segments of a whole image, collected from the logits of its tiles in order."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unimask.config import PostprocessingConfig
from unimask.errors import UnimaskWarning
from unimask.labels import LabelSet, Task
from unimask.processing.candidates import MAX_CANDIDATES, instance_candidates, panoptic_candidates
from unimask.processing.instance import Instance, instances, remove_hidden_instances
from unimask.processing.panoptic import PanopticSegment, panoptic
from unimask.processing.postprocess import semantic_segments
from unimask.processing.tiled.scores import TileLogits, semantic_scores, stuff_scores
from unimask.results import Candidate, Segment
from unimask.tiling.blending import LABEL_DTYPE, ClassBlender, WriteBlock, first_of_best
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


class TileCollector(ABC):
    """Segments of an image, to which tiles are added in the order of the grid.

    Args:
        rules: Tiles and settings.
    """

    def __init__(self, rules: TileRules) -> None:
        self.rules = rules
        self.joiner = ObjectJoiner(rules.grid, int(np.ceil(MASK_STRIDE / rules.scale)))
        self.candidates: list[Candidate] = []

    @abstractmethod
    def add(self, tile: Tile, logits: TileLogits) -> None:
        """Add a tile."""

    @abstractmethod
    def finish(self) -> tuple[Segment, ...]:
        """Return the segments of the image."""

    def best_candidates(self) -> tuple[Candidate, ...]:
        """Return the highest scores in any tile, to be reported if there are no segments."""
        return tuple(sorted(self.candidates, key=lambda c: -c.score)[:MAX_CANDIDATES])

    def joined_objects(self) -> list[JoinedObject]:
        """Return the objects of the image, and warn about those that no tile contained."""
        objects = self.joiner.finish()
        count = sum(item.is_cut for item in objects)
        if count:
            axes = self.rules.grid.rows, self.rules.grid.columns
            overlaps = [a.starts[0] + a.tile - a.starts[1] for a in axes if len(a.starts) > 1]
            warnings.warn(
                f"{count} of {len(objects)} objects are larger than the overlap of the tiles "
                f"({min(overlaps)} pixels) and were cut by their borders: their parts were joined, "
                "but a larger tile or overlap is more exact",
                TilingWarning,
                stacklevel=2,
            )
        return objects


class SemanticCollector(TileCollector):
    """Semantic segments: the class with the highest blended score at each pixel."""

    def __init__(self, rules: TileRules) -> None:
        super().__init__(rules)
        self.label_map = np.empty(rules.grid.size[::-1], np.int16)
        self.blender = ClassBlender(rules.grid, self.decide, block_writer(self.label_map))

    def add(self, tile: Tile, logits: TileLogits) -> None:
        """Add a tile."""
        self.blender.add(
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

    def add(self, tile: Tile, logits: TileLogits) -> None:
        """Add a tile."""
        rules, labels = self.rules.postprocessing, self.rules.labels
        arguments = logits.class_logits, logits.mask_logits, logits.resizer
        best = instances(*arguments, labels.is_thing, rules.top_k, self.rules.threshold)
        objects = remove_hidden_instances(best, rules.min_visible)
        if not objects and not self.joiner.members:
            self.candidates += instance_candidates(*arguments, labels, rules.top_k)
        self.joiner.add(tile, place_objects(tile, objects))

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
    """Things joined across borders, over stuff from blended scores."""

    def __init__(self, rules: TileRules) -> None:
        super().__init__(rules)
        self.ids = np.zeros(rules.grid.size[::-1], np.int32)
        self.blender = ClassBlender(rules.grid, self.decide, block_writer(self.ids))
        self.stuff: dict[int, list[tuple[float, int]]] = {}

    def add(self, tile: Tile, logits: TileLogits) -> None:
        """Add a tile."""
        rules, is_thing = self.rules.postprocessing, self.rules.labels.is_thing
        threshold = self.rules.threshold
        segments = panoptic(
            *(logits.class_logits, logits.mask_logits, logits.resizer),
            is_thing,
            rules.object_threshold if threshold is None else threshold,
            rules.overlap_threshold,
            rules.uncertain_pixels,
        )
        if not segments and not self.joiner.members:
            self.candidates += panoptic_candidates(logits.class_logits, self.rules.labels)
        for segment in segments:
            if not is_thing[segment.label_id]:
                scores = self.stuff.setdefault(segment.label_id, [])
                scores.append((segment.score, segment.rle.area))
        self.blender.add(tile, *stuff_scores(logits, segments, is_thing))
        things = [segment for segment in segments if is_thing[segment.label_id]]
        self.joiner.add(tile, place_objects(tile, things))

    def decide(
        self, classes: tuple[int, ...], scores: Float[Tensor, "c h w"]
    ) -> Int[Tensor, "h w"]:
        """Return -1 - class of the best stuff, 0 where most of the weight is void or things."""
        if classes[-1] < len(self.rules.labels):
            return -1 - first_of_best(classes, scores)[0]
        if len(classes) == 1:
            return torch.zeros(scores.shape[1:], dtype=LABEL_DTYPE)
        return (-1 - first_of_best(classes[:-1], scores[:-1])[0]).where(scores[-1] < 0.5, 0)

    def finish(self) -> tuple[Segment, ...]:
        """Return things in descending order of score, then stuff."""
        rules, labels = self.rules.postprocessing, self.rules.labels
        things = paste_objects(self.ids, self.joined_objects(), rules.overlap_threshold)
        objects, stuff = encode_segments(self.ids, len(things))
        items = [(things[n - 1].label_id, things[n - 1].score, rle) for n, rle in objects.items()]
        items += [(label, self.stuff_score(label), rle) for label, rle in sorted(stuff.items())]
        return tuple(
            Segment.from_rle(labels, label, rle, id=index, score=score)
            for index, (label, score, rle) in enumerate(items, start=1)
        )

    def stuff_score(self, label_id: int) -> float:
        """Return the mean score of a stuff class over the tiles, weighted by area."""
        scores, areas = zip(*self.stuff[label_id], strict=True)
        return float(np.average(scores, weights=areas))


COLLECTORS: dict[Task, type[TileCollector]] = {
    "semantic": SemanticCollector,
    "instance": InstanceCollector,
    "panoptic": PanopticCollector,
}


def place_objects(tile: Tile, objects: Sequence[Instance | PanopticSegment]) -> list[TileObject]:
    """Return the objects of a tile with their masks placed in the image."""
    row, column = tile.window.row, tile.window.column
    return [
        TileObject(item.label_id, item.score, PlacedMask.from_run_length(item.rle, row, column))
        for item in objects
    ]


def block_writer(target: Int[np.ndarray, "w h"]) -> WriteBlock:
    """Return a function that writes blocks of a label map into a transposed map."""

    def write(window: TileWindow, block: Int[np.ndarray, "h w"]) -> None:
        target[window.column : window.right, window.row : window.bottom] = block.T

    return write
